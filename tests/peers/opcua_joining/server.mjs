// An OPC UA server made of node-opcua: a joining system with the companion nodesets, and a PLC's variables beside it.
//
// usage: node server.mjs '{"modules": "…/node_modules", "ledger": "…", "cert": "…pem", "key": "…pem", "pki": "…", …}'
// Prints {"port": N} and answers commands, one JSON object a line on stdin, and ends with it:
//   {"do": "stats"}
//   {"do": "raise", "count": 1, "kind": "single|steps|last|batch|sync|empty|plain", "children": 3, "trace": false}
//   {"do": "resume", "rate": 10, "limit": 0, "kind": "single"}   {"do": "pause"}
//   {"do": "hold", "on": true}        results are made and stored, and nothing tells of them
//   {"do": "forget"}                  what is stored can not be asked for any more
//   {"do": "simple", "count": 1}      events of a plain type
//   {"do": "put", "node": "Odd.good", "value": 1.5}      {"do": "drop"}      {"do": "stop"}
// Killed and started again with the same ledger it goes on with the next number.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";
import { Maker, derive } from "./results.mjs";

const options = {
  port: 0, users: {}, userCerts: [], policies: ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"], modes: ["None", "Sign", "SignAndEncrypt"],
  anonymous: true, joining: true, methods: true, requested: true, limit: 0, host: "127.0.0.1", rate: 10, first: 1, items: 0, slot: "st10.joining",
  ...JSON.parse(process.argv[2]),
};
// Only answers go to stdout; what the library says goes to the log.
for (const name of ["log", "info", "warn", "debug"]) console[name] = console.error;
// Modules by their own path: the look-up of modules knows no NODE_PATH.
const load = (name, file = "dist/index.js") => import(pathToFileURL(path.join(options.modules, name, file)).href);
const opcua = await load("node-opcua");
const { nodesets, OPCUAServer, OPCUACertificateManager, DataType, Variant, StatusCodes, MessageSecurityMode, SecurityPolicy } = opcua;
const DATA = "http://peer.example/plc/";
const out = fs.openSync(options.ledger, "a");
const write = (entry) => fs.writeSync(out, JSON.stringify({ ...entry, t: Date.now() / 1000 }) + "\n");
const answer = (entry) => process.stdout.write(JSON.stringify(entry) + "\n");

const state = { made: 0, raised: 0, held: false, stored: new Map(), paused: true, rate: options.rate, limit: 0, kind: "single", trace: false, due: 0, sequence: options.first - 1 };
const logins = { accepted: 0, refused: 0, sessions: 0, names: {} };
const block = { made: 0, acked: 0, showing: false, stamp: 0 };
const counts = { requests: 0, replayed: 0, simple: 0, ticks: 0, life: 0 };
for (const line of fs.existsSync(options.ledger) ? fs.readFileSync(options.ledger, "utf8").split("\n").slice(0, -1) : []) {
  const entry = JSON.parse(line);
  if (entry.e === "raised" || entry.e === "held") {
    state.made = Math.max(state.made, entry.n, ...(entry.children ?? []));
    state.sequence = entry.sequence;
    state.stored.set(entry.sequence, entry);
  } else if (entry.e === "forgotten") state.stored.clear();
  else if (entry.e === "shown") Object.assign(block, { made: entry.n, showing: true, stamp: entry.stamp });
  else if (entry.e === "acked") Object.assign(block, { acked: block.acked + 1, showing: false });
  else if (entry.e === "simple") counts.simple = entry.n;
}

const managers = {};
for (const name of ["server", "user"]) {
  managers[name] = new OPCUACertificateManager({ rootFolder: path.join(options.pki, `node-${name}`), automaticallyAcceptUnknownCertificate: name === "server" });
  await managers[name].initialize();
}
for (const file of options.userCerts) await managers.user.trustCertificate(fs.readFileSync(file));

const note = (good, who, why = "") => {
  logins[good ? "accepted" : "refused"] += 1;
  const key = good ? who : `${who} refused`;
  logins.names[key] = (logins.names[key] ?? 0) + 1;
  write({ e: "login", good, who, why });
};

class Server extends OPCUAServer {
  // Every log-in passes here, whatever it is made with, and what came of it is written down.
  isValidUserIdentityToken(channel, session, token, signature, endpoint, callback) {
    const kind = token.constructor.name.replace("IdentityToken", "");
    const who = kind === "UserName" ? `UserName ${token.userName}` : kind;
    super.isValidUserIdentityToken(channel, session, token, signature, endpoint, (error, status) => {
      if (kind !== "UserName" || error || status?.isNotGood()) note(!error && !status?.isNotGood(), who, status?.toString());
      callback(error, status);
    });
  }
}

const wanted = options.joining
  ? [nodesets.standard, nodesets.di, nodesets.amb, nodesets.ia, nodesets.machinery, nodesets.machineryResult, nodesets.ijtBase, nodesets.tightening]
  : [nodesets.standard];
const limit = options.limit || 0;
const server = new Server({
  port: options.port,
  host: "127.0.0.1",
  hostname: options.host,
  resourcePath: "/joining",
  nodesets: wanted,
  certificateFile: options.cert,
  privateKeyFile: options.key,
  serverCertificateManager: managers.server,
  userCertificateManager: managers.user,
  securityPolicies: options.policies.map((name) => SecurityPolicy[name]),
  securityModes: options.modes.map((name) => MessageSecurityMode[name]),
  allowAnonymous: options.anonymous,
  disableDiscovery: false,
  serverInfo: { applicationUri: options.uri, productUri: "urn:lineside:peer:joining", applicationName: { text: "Peer joining system" } },
  buildInfo: { productName: "Peer joining system", manufacturerName: "Peer", softwareVersion: "1", buildNumber: "1", buildDate: new Date(0) },
  userManager: {
    isValidUser: (name, password) => {
      const good = options.users[name] !== undefined && options.users[name] === password;
      note(good, `UserName ${name}`, good ? "" : "wrong");
      return good;
    },
  },
  maxConnectionsPerEndpoint: 100,
  serverCapabilities: {
    maxSessions: 100,
    ...(limit ? { operationLimits: { maxNodesPerRead: limit, maxMonitoredItemsPerCall: limit } } : {}),
  },
  isAuditing: false,
});
await server.initialize();
const space = server.engine.addressSpace;
const own = space.registerNamespace(DATA);
const objects = space.rootFolder.objects;
const variables = new Map();

function variable(parent, name, dataType, value, writable) {
  const id = `${parent.nodeId.value}.${name}`;
  const kind = dataType.replace("[]", "");
  const node = own.addVariable({
    componentOf: parent, browseName: name, nodeId: `s=${id}`, dataType: kind, minimumSamplingInterval: 0,
    accessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead", userAccessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
  });
  node.setValueFromSource({ dataType: DataType[kind], value, ...(dataType.endsWith("[]") ? { arrayType: opcua.VariantArrayType.Array } : {}) });
  variables.set(id, { node, kind });
  return node;
}
const folder = (name) => own.addObject({ organizedBy: objects, browseName: name, nodeId: `s=${name}` });
const put = (id, value, status = StatusCodes.Good) => {
  const { node, kind } = variables.get(id);
  node.setValueFromSource({ dataType: DataType[kind], value }, status);
};

// The result block of ../opcua_blocks.py, with the handshake of a counter that is copied back.
function blockValues(n) {
  const raw = derive(n);
  return {
    torque: Math.fround(raw.torque / 100), torque_min: raw.torqueMin, angle: raw.angle, judgement: raw.good ? 1 : 2, program: raw.pset, vin: raw.vin,
    motor_temp: (n % 500) / 10, stamp: block.stamp,
  };
}
// What the MES has to receive of it: a single has few digits here, so that its shortest decimal is the hundredth.
function blockExpect(n) {
  const raw = derive(n);
  return {
    result: raw.good ? "ok" : "nok", "torque.value": String(raw.torque / 100), "torque.min": String(raw.torqueMin / 100), "torque.uom": "N.m", "angle.value": String(raw.angle),
    "angle.uom": "deg", "program.id": String(raw.pset), result_id: String(n), "unit.id": raw.vin,
  };
}
const counter = folder("Counter");
for (const [name, kind] of Object.entries({ torque: "Float", torque_min: "UInt16", angle: "Int32", judgement: "Int16", program: "UInt16", vin: "String", stamp: "UInt32", motor_temp: "Double", result_count: "UInt32" })) {
  const value = block.made ? { ...blockValues(block.made), result_count: block.made }[name] : kind === "String" ? "" : 0;
  variable(counter, name, kind, value, false);
}
const acknowledge = variable(counter, "ack", "UInt32", block.made - (block.showing ? 1 : 0), true);
acknowledge.on("value_changed", (data) => {
  const value = data.value.value;
  if (block.showing && value === block.made) {
    block.showing = false;
    block.acked += 1;
    write({ e: "acked", slot: "st10.counter", n: block.made });
  } else if (value !== block.made) write({ e: "strange", slot: "st10.counter", value, counter: block.made });
});
function show() {
  block.made += 1;
  block.stamp = Math.max(Math.floor(Date.now() / 1000), block.stamp);
  block.showing = true;
  write({ e: "shown", slot: "st10.counter", n: block.made, counter: block.made, stamp: block.stamp, expect: blockExpect(block.made) });
  for (const [name, value] of Object.entries(blockValues(block.made))) put(`Counter.${name}`, value);
  put("Counter.result_count", block.made);
}
const odd = folder("Odd");
variable(odd, "good", "Double", 12.5, true);
variable(odd, "bad", "Double", 1, false);
variable(odd, "uncertain", "Double", 21.25, false);
variable(odd, "nan", "Double", NaN, false);
variable(odd, "text", "String", "twelve", false);
variable(odd, "array", "Double[]", new Float64Array([1.5, 2.5, 3.5]), false);
put("Odd.bad", 1, StatusCodes.BadSensorFailure);
put("Odd.uncertain", 21.25, StatusCodes.UncertainLastUsableValue);
const machine = folder("Machine");
variable(machine, "life", "UInt32", 0, false);
const reset = own.addMethod(machine, {
  browseName: "reset", nodeId: "s=Machine.reset",
  inputArguments: [{ name: "number", dataType: DataType.Int32 }], outputArguments: [{ name: "result", dataType: DataType.Int32 }],
});
reset.bindMethod((args, _context, callback) =>
  callback(null, { statusCode: StatusCodes.Good, outputArguments: [{ dataType: DataType.Int32, value: args[0].value + 1 }] }));
if (options.items) {
  const items = folder("Items");
  for (let at = 0; at < options.items; at += 1) variable(items, `v${String(at).padStart(5, "0")}`, "UInt32", 0, false);
}
const simpleType = own.addEventType({ browseName: "PeerSimpleEventType", nodeId: "s=PeerSimpleEventType", subtypeOf: "BaseEventType" });
for (const [name, dataType] of Object.entries({ Number: "UInt32", Torque: "Double", Angle: "Double", Judgement: "Int32", Vin: "String" })) {
  own.addVariable({ propertyOf: simpleType, browseName: name, dataType, modellingRule: "Mandatory" });
}
function simple() {
  counts.simple += 1;
  const raw = derive(counts.simple);
  const expect = {
    result: raw.good ? "ok" : "nok", "torque.value": String(raw.torque / 100), "angle.value": String(raw.angle), result_id: String(counts.simple), "unit.id": raw.vin,
  };
  write({ e: "simple", n: counts.simple, expect });
  space.rootFolder.objects.server.raiseEvent(simpleType, {
    number: { dataType: DataType.UInt32, value: counts.simple }, torque: { dataType: DataType.Double, value: raw.torque / 100 },
    angle: { dataType: DataType.Double, value: raw.angle }, judgement: { dataType: DataType.Int32, value: raw.good ? 1 : 2 },
    vin: { dataType: DataType.String, value: raw.vin }, message: { dataType: DataType.LocalizedText, value: { text: `result ${counts.simple}` } },
  });
}

let system, maker, readyType, requestedType;
if (options.joining) {
  maker = new Maker(opcua, space);
  const type = space.findObjectType("JoiningSystemType", maker.ijt);
  const optionals = ["ResultManagement"];
  if (options.methods) optionals.push("ResultManagement.RequestResults");
  system = type.instantiate({ browseName: "TighteningSystem", organizedBy: objects, optionals });
  // The types of the model are abstract: a server raises subtypes, and who filters by type gets them.
  const base = space.findEventType("JoiningSystemResultReadyEventType", maker.ijt);
  const requested = space.findEventType("RequestedResultEventType", maker.ijt);
  readyType = options.subtypes === false ? base : own.addEventType({ browseName: "PeerResultReadyEventType", nodeId: "s=PeerResultReadyEventType", subtypeOf: base });
  requestedType = options.subtypes === false ? requested : own.addEventType({ browseName: "PeerRequestedResultEventType", nodeId: "s=PeerRequestedResultEventType", subtypeOf: requested });
  if (options.methods) bindRequests();
}
function management() {
  for (const child of system.getComponents()) if (child.browseName.name === "ResultManagement") return child;
  throw new Error("the joining system has no ResultManagement");
}
function bindRequests() {
  const method = management().getMethods().find((found) => found.browseName.name === "RequestResults");
  if (!method) throw new Error("ResultManagement has no RequestResults");
  method.bindMethod((args, _context, callback) => {
    const number = (value) => (Array.isArray(value) ? value[0] * 2 ** 32 + value[1] : Number(value));
    const [from, to] = [number(args[0].value), number(args[1].value)];
    counts.requests += 1;
    write({ e: "requested", from, to, fromTime: args[2]?.value, toTime: args[3]?.value });
    const found = [...state.stored.values()].filter((entry) => entry.sequence >= from && entry.sequence <= to);
    const outputs = method.outputArguments?.value?.value ?? [];
    callback(null, {
      statusCode: StatusCodes.Good,
      outputArguments: outputs.map((argument) => {
        const kind = space.findCorrespondingBasicDataType(argument.dataType);
        const value = kind === DataType.LocalizedText ? { text: found.length ? "" : "no such results" } : kind === DataType.Int64 || kind === DataType.UInt64 ? [0, found.length || !options.methods ? 0 : 1] : found.length;
        return { dataType: kind, value };
      }),
    });
    setTimeout(() => found.forEach((entry) => { counts.replayed += 1; write({ e: "replayed", n: entry.n, sequence: entry.sequence }); tell(entry, options.requested ? requestedType : readyType); }), 20);
  });
}
function tell(entry, type) {
  system.raiseEvent(type, {
    result: { dataType: DataType.ExtensionObject, value: maker.whole(entry) },
    sourceName: { dataType: DataType.String, value: "TighteningSystem" },
    message: { dataType: DataType.LocalizedText, value: { text: `result ${entry.n}` } },
    severity: { dataType: DataType.UInt16, value: 100 },
  });
}
function raise(kind, trace, children) {
  state.sequence += 1;
  const entry = { sequence: state.sequence, kind, trace, when: Date.now() };
  if (kind === "batch" || kind === "sync") {
    entry.children = Array.from({ length: children ?? 3 }, (_, at) => state.made + 1 + at);
    state.made += entry.children.length;
  }
  state.made += 1;
  entry.n = state.made;
  entry.id = `R-${String(entry.n).padStart(6, "0")}`;
  state.stored.set(entry.sequence, entry);
  write({ e: state.held ? "held" : "raised", slot: options.slot, ...entry });
  if (!state.held) { state.raised += 1; tell(entry, readyType); }
}

server.on("create_session", () => { logins.sessions += 1; });
server.engine.setShutdownTime?.(new Date());
await server.start();
const port = server.endpoints[0].port || server.endpoints[0]._listen_port;
let begun = Date.now();
setInterval(() => {
  counts.life += 1;
  put("Machine.life", counts.life);
  const now = Date.now();
  if (!state.paused && options.joining && now >= state.due && (!state.limit || state.made < state.limit)) {
    state.due = Math.max(state.due, now - 1000) + 1000 / state.rate;
    raise(state.kind, state.trace);
  }
  if (!state.paused && !block.showing && (!state.limit || block.made < state.limit)) show();
  if (options.items && state.itemRate && now - begun >= 1000 / state.itemRate) {
    begun = Math.max(begun + 1000 / state.itemRate, now - 1000);
    counts.ticks += 1;
    write({ e: "tick", k: counts.ticks });
    for (let at = 0; at < options.items; at += 1) put(`Items.v${String(at).padStart(5, "0")}`, counts.ticks);
  }
}, 20);

function stats() {
  return {
    made: block.made, acked: block.acked, showing: block.showing ? 1 : 0, results: state.made, raised: state.raised, stored: state.stored.size,
    sequence: state.sequence, ...counts, ...logins, open: server.currentSessionCount, subscriptions: server.currentSubscriptionCount,
    rejected: server.rejectedSessionCount,
  };
}
async function command(order) {
  switch (order.do) {
    case "stats": break;
    case "raise": for (let at = 0; at < (order.count ?? 1); at += 1) raise(order.kind ?? "single", order.trace ?? false, order.children); break;
    case "resume": Object.assign(state, { paused: false, due: Date.now() }, order); break;
    case "pause": state.paused = true; break;
    case "hold": state.held = order.on; break;
    case "forget": state.stored.clear(); write({ e: "forgotten" }); break;
    case "simple": for (let at = 0; at < (order.count ?? 1); at += 1) simple(); break;
    case "items": state.itemRate = order.rate; begun = Date.now(); break;
    case "put": put(order.node, order.value); break;
    case "skip": state.sequence += order.count; break;
    case "drop": for (const endpoint of server.endpoints) endpoint.abruptlyInterruptChannels?.(); break;
    case "stop": break;
    default: throw new Error(`this server knows no command ${order.do}`);
  }
  if (order.do !== "stats") write({ e: "command", ...order });
  return stats();
}
answer({ port });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  answer(await command(order));
  if (order.do === "stop") break;
}
process.exit(0);
