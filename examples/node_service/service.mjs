// A service with the stock GrowthBook SDK: flags by stream, exposures and outcomes to expplat.
import { createServer } from "node:http";
import { EventSource } from "eventsource";
import { GrowthBookClient, setPolyfills } from "@growthbook/growthbook";
import { keep, send } from "./events.mjs";

const { EXPPLAT_URL, EXPPLAT_CLIENT_KEY, EXPPLAT_INGEST_KEY, PORT = "9001" } = process.env;
setPolyfills({ EventSource }); // without it Node never hears of a change
const seen = new Set();

const flags = new GrowthBookClient({
  apiHost: EXPPLAT_URL,
  clientKey: EXPPLAT_CLIENT_KEY,
  trackingCallback: (experiment, result) => {
    const facts = { experiment: experiment.key, variation: result.key, unit: result.hashValue };
    const name = JSON.stringify(facts);
    if (!seen.has(name)) keep("exposures", facts);
    seen.add(name);
  },
});
await flags.init({ timeout: 1000, streaming: true });

const server = createServer((request, response) => {
  const started = performance.now();
  const unit = request.headers["x-user-id"] ?? "";
  const variant = flags.getFeatureValue("hybrid_rrf", "control", { attributes: { user_id: unit } });
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ variant }));
  if (unit) keep("outcomes", { unit, metric: "latency_ms", value: performance.now() - started });
});
server.listen(Number(PORT), "127.0.0.1");

const timer = setInterval(() => send(EXPPLAT_URL, EXPPLAT_INGEST_KEY), 500);
process.on("SIGTERM", async () => {
  clearInterval(timer);
  await send(EXPPLAT_URL, EXPPLAT_INGEST_KEY);
  process.exit(0);
});
