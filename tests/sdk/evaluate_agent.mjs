// The official JavaScript SDK as a judge: node evaluate_agent.mjs <job file> <answer file>
// Of each payload both classes say what every user is served and what is tracked; of each condition,
// whether it holds for every set of attributes.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.NODE_SDK_FOLDER}/`));
const { GrowthBook, GrowthBookClient, evalCondition } = require("@growthbook/growthbook");

function bySingleUserClass({ features, feature }, users) {
  return users.map((attributes) => {
    const seen = [];
    const trackingCallback = (experiment, result) => seen.push([experiment.key, result.key]);
    const client = new GrowthBook({ features, attributes, trackingCallback });
    return [client.evalFeature(feature).value, seen];
  });
}

function byManyUserClass({ features, feature }, users) {
  let seen = [];
  const trackingCallback = (experiment, result) => seen.push([experiment.key, result.key]);
  const client = new GrowthBookClient({ trackingCallback });
  client.initSync({ payload: { features } });
  return users.map((attributes) => {
    seen = [];
    return [client.evalFeature(feature, { attributes }).value, seen];
  });
}

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const answer = {
  payloads: job.payloads.map((each) => [
    bySingleUserClass(each, job.users),
    byManyUserClass(each, job.users),
  ]),
  conditions: job.conditions.map((condition) =>
    job.attributes.map((attributes) => (evalCondition(attributes, condition) ? 1 : 0)).join(""),
  ),
};
writeFileSync(process.argv[3], JSON.stringify(answer));
