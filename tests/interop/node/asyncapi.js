"use strict";
// Holds what `lineside contract` wrote against AsyncAPI's own parser, and everything that an MES received against it.
// usage: node asyncapi.js ASYNCAPI.json RECEIVED.jsonl [STRANGE.jsonl]
// Prints {"channels", "operations", "messages", "faults": [...], "strange"} and exits with 1 where there are faults.
// Of what is STRANGE on purpose only the number of messages that do not fit is told.

const fs = require("fs");
const { Parser } = require("@asyncapi/parser");
const Ajv = require("ajv");
const formats = require("ajv-formats");

const [documentFile, receivedFile, strangeFile] = process.argv.slice(2);
const faults = [];

async function main() {
  const text = fs.readFileSync(documentFile, "utf8");
  const { document, diagnostics } = await new Parser().parse(text);
  for (const found of diagnostics) {
    // 0: error, 1: warning. What is only a hint (a contact, a licence, tags) is the reader's business.
    if (found.severity === 0) faults.push(`${found.path.join("/")}: ${found.message}`);
  }
  if (!document) return { channels: 0, operations: 0, messages: 0 };

  // By the document itself, as an MES team's generator sees it.
  const channels = new Map();
  for (const channel of document.channels().all()) {
    const operations = channel.operations().all();
    if (operations.length !== 1) faults.push(`${channel.address()}: ${operations.length} operations`);
    channels.set(channel.address(), { channel, action: operations[0] && operations[0].action() });
  }
  const ajv = new Ajv({ strict: false, allErrors: true });
  formats(ajv);
  const checks = new Map();
  const check = (address, payload) => {
    if (!checks.has(address)) {
      const [message] = channels.get(address).channel.messages().all();
      checks.set(address, ajv.compile(plain(message.payload().json())));
    }
    const validate = checks.get(address);
    return validate(payload) ? null : ajv.errorsText(validate.errors);
  };

  const held = (file) => {
    const found = [];
    const lines = file ? fs.readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
    for (const line of lines) {
      const { topic, p } = JSON.parse(line);
      const known = channels.get(topic);
      if (!known) {
        found.push(`${topic}: no channel has this address`);
      } else if (known.action === "send" && p !== "") {
        const fault = check(topic, JSON.parse(p));
        if (fault) found.push(`${topic}: ${fault}: ${p.slice(0, 300)}`);
      }
    }
    return { messages: lines.length, found };
  };
  const { messages, found } = held(receivedFile);
  faults.push(...found);
  const strange = held(strangeFile).found.length;
  return { channels: channels.size, operations: document.operations().all().length, messages, strange };
}

// Without what the parser adds for itself.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).filter(([name]) => !name.startsWith("x-parser")).map(([name, inner]) => [name, plain(inner)]),
  );
}

main()
  .then((counts) => {
    console.log(JSON.stringify({ ...counts, faults: faults.slice(0, 20), fault_count: faults.length }));
    process.exitCode = faults.length ? 1 : 0;
  })
  .catch((error) => {
    console.log(JSON.stringify({ faults: [String(error)], fault_count: 1 }));
    process.exitCode = 1;
  });
