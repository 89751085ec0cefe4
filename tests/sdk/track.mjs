// GrowthBook's own tracking plugin, sending what it sees.
//   node track.mjs <host> <client key> <feature> <users>   every user is shown the feature, twice
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.NODE_SDK_FOLDER}/`));
const { GrowthBookClient } = require("@growthbook/growthbook");
const { growthbookTrackingPlugin } = require("@growthbook/growthbook/plugins");

const [host, clientKey, feature, users] = process.argv.slice(2);
const client = new GrowthBookClient({
  apiHost: host,
  clientKey,
  plugins: [growthbookTrackingPlugin({ ingestorHost: host, queueFlushInterval: 20 })],
});
await client.init({ timeout: 5000 });
const arms = {};
for (let round = 0; round < 2; round++) {
  for (let index = 0; index < Number(users); index++) {
    const user = { attributes: { user_id: `user-${index}`, plan: "pro" } };
    arms[`user-${index}`] = client.evalFeature(feature, user).value;
    if (round === 1) client.logEvent("Answer Rated", { value: index % 5 }, user);
  }
  await new Promise((done) => setTimeout(done, 100));
}
setTimeout(() => console.log(JSON.stringify(arms)), 1000);
