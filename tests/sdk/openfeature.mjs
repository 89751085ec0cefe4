// The official OpenFeature providers for remote evaluation, asked over standard output.
//   node openfeature.mjs many <host> <client key> <feature> <users>     value, variant and reason a user
//   node openfeature.mjs follow <host> <client key> <feature> <user>    one line a change, for ever
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.NODE_SDK_FOLDER}/`));

async function many(baseUrl, clientKey, feature, users) {
  const { OpenFeature } = require("@openfeature/server-sdk");
  const { OFREPProvider } = require("@openfeature/ofrep-provider");
  await OpenFeature.setProviderAndWait(
    new OFREPProvider({ baseUrl, headers: [["X-API-Key", clientKey]] }),
  );
  const client = OpenFeature.getClient();
  const answers = [];
  for (let index = 0; index < Number(users); index++) {
    const context = { targetingKey: `user-${index}` };
    const details = await client.getStringDetails(feature, "fallback", context);
    answers.push([details.value, details.variant, details.reason]);
  }
  console.log(JSON.stringify(answers));
}

async function follow(baseUrl, clientKey, feature, targetingKey) {
  const { EventSource } = require("eventsource");
  globalThis.EventSource = EventSource;
  const { OpenFeature } = require("@openfeature/web-sdk");
  const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");
  await OpenFeature.setContext({ targetingKey });
  const headers = [["Authorization", `Bearer ${clientKey}`]];
  await OpenFeature.setProviderAndWait(
    new OFREPWebProvider({ baseUrl, headers, cacheMode: "disabled" }),
  );
  console.log(JSON.stringify({ ready: true }));
  const client = OpenFeature.getClient();
  let shown = null;
  setInterval(() => {
    const line = JSON.stringify({ arms: [client.getStringValue(feature, "fallback")] });
    if (line !== shown) console.log((shown = line));
  }, 20);
}

const [mode, ...rest] = process.argv.slice(2);
await { many, follow }[mode](...rest);
