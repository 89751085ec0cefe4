// The official JavaScript SDK, asked over standard output.
//   node agent.mjs assign <payload file> <feature> <unit attribute> <users>   one arm and tracking a user
//   node agent.mjs follow <host> <client key> <feature>                       one line a change, for ever
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const USERS = 200;
const require = createRequire(pathToFileURL(`${process.env.NODE_SDK_FOLDER}/`));
const { GrowthBookClient, setPolyfills } = require("@growthbook/growthbook");
const { EventSource } = require("eventsource");

function assign(file, feature, attribute, users) {
  const client = new GrowthBookClient();
  client.initSync({ payload: JSON.parse(readFileSync(file, "utf8")) });
  const answers = [];
  for (let index = 0; index < Number(users); index++) {
    const result = client.evalFeature(feature, { attributes: { [attribute]: `user-${index}` } });
    const tracked = result.experimentResult?.inExperiment ? result.experimentResult.key : null;
    answers.push([result.value, tracked, result.experiment?.key ?? null]);
  }
  console.log(JSON.stringify(answers));
}

async function follow(host, clientKey, feature) {
  setPolyfills({ EventSource });
  const client = new GrowthBookClient({ apiHost: host, clientKey });
  const answer = await client.init({ streaming: true, timeout: 5000 });
  console.log(JSON.stringify({ ready: answer.success }));
  let shown = null;
  setInterval(() => {
    const arms = Array.from({ length: USERS }, (_, index) =>
      client.evalFeature(feature, { attributes: { user_id: `user-${index}` } }).value,
    );
    const line = JSON.stringify({ arms });
    if (line !== shown) console.log((shown = line));
  }, 20);
}

const [mode, ...rest] = process.argv.slice(2);
await { assign, follow }[mode](...rest);
