// The official JavaScript SDK, asked over standard output.
//   node agent.mjs assign <payload file> <feature> <unit attribute> <users>   one arm and tracking a user
//   node agent.mjs follow <host> <client key> <feature> [<decryption key>]    one line a change, for ever
//   node agent.mjs single <host> <client key> <feature> [<decryption key>]    the same by the class for one user
//   node agent.mjs remote <host> <client key> <feature> <user>                the same, evaluated by the host
// A line also tells of all evaluations until then how many took 10 ms or more.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const USERS = Array.from({ length: 200 }, (_, index) => ({ user_id: `user-${index}` }));
const require = createRequire(pathToFileURL(`${process.env.NODE_SDK_FOLDER}/`));
const { GrowthBook, GrowthBookClient, setPolyfills } = require("@growthbook/growthbook");
const { EventSource } = require("eventsource");

function say(facts) {
  console.log(JSON.stringify(facts));
}

function assign(file, feature, attribute, users) {
  const client = new GrowthBookClient();
  client.initSync({ payload: JSON.parse(readFileSync(file, "utf8")) });
  const answers = [];
  for (let index = 0; index < Number(users); index++) {
    const result = client.evalFeature(feature, { attributes: { [attribute]: `user-${index}` } });
    const tracked = result.experimentResult?.inExperiment ? result.experimentResult.key : null;
    answers.push([result.value, tracked, result.experiment?.key ?? null]);
  }
  say(answers);
}

async function begin(client) {
  const answer = await client.init({ streaming: true, timeout: 5000 });
  say({ ready: answer.success });
}

function report(look) {
  let shown = null;
  setInterval(() => {
    const seen = look();
    const line = JSON.stringify(seen);
    if (line !== shown) say({ ...seen, ...counts });
    shown = line;
  }, 20);
}

const counts = { evaluations: 0, slow: 0 };

function timed(evaluate) {
  const began = performance.now();
  const value = evaluate();
  counts.evaluations += 1;
  counts.slow += performance.now() - began >= 10;
  return value;
}

async function follow(apiHost, clientKey, feature, decryptionKey) {
  setPolyfills({ EventSource });
  const client = new GrowthBookClient({ apiHost, clientKey, decryptionKey });
  await begin(client);
  report(() => ({
    arms: USERS.map((attributes) => timed(() => client.evalFeature(feature, { attributes }).value)),
  }));
}

async function single(apiHost, clientKey, feature, decryptionKey) {
  setPolyfills({ EventSource });
  const client = new GrowthBook({ apiHost, clientKey, decryptionKey });
  await begin(client);
  report(() => ({
    arms: USERS.map((attributes) =>
      timed(() => {
        client.setAttributes(attributes);
        return client.evalFeature(feature).value;
      }),
    ),
  }));
}

async function remote(apiHost, clientKey, feature, user) {
  setPolyfills({ EventSource });
  const tracked = {};
  const trackingCallback = (experiment, result) => {
    tracked[result.hashValue] = [experiment.key, result.key];
  };
  const attributes = { user_id: user };
  const client = new GrowthBook({
    apiHost, clientKey, attributes, trackingCallback, remoteEval: true,
  });
  await begin(client);
  report(() => ({ arms: [client.evalFeature(feature).value], tracked }));
}

const [mode, ...rest] = process.argv.slice(2);
await { assign, follow, single, remote }[mode](...rest);
