// A client of node-opcua: takes results from a block with ready and acknowledge flags, and prints each as a JSON line.
//
// usage: node client.mjs '{"modules": "…/node_modules", "address": "opc.tcp://…", "uri": "http://…", "base": "…", "count": 3, "policy": "None", "mode": "None", "cert": "…", "key": "…", "pki": "…"}'

import path from "node:path";
import { pathToFileURL } from "node:url";

const options = JSON.parse(process.argv[2]);
for (const name of ["log", "info", "warn", "debug"]) console[name] = console.error;
const opcua = await import(pathToFileURL(path.join(options.modules, "node-opcua", "dist/index.js")).href);
const { OPCUAClient, OPCUACertificateManager, AttributeIds, DataType, MessageSecurityMode, SecurityPolicy, TimestampsToReturn } = opcua;
const clientCertificateManager = new OPCUACertificateManager({ rootFolder: path.join(options.pki, "node-client"), automaticallyAcceptUnknownCertificate: true });
await clientCertificateManager.initialize();
const client = OPCUAClient.create({
  endpointMustExist: false,
  securityPolicy: SecurityPolicy[options.policy],
  securityMode: MessageSecurityMode[options.mode],
  connectionStrategy: { maxRetry: 1, initialDelay: 200, maxDelay: 500 },
  applicationName: "peer",
  applicationUri: "urn:lineside:peer:client",
  ...(options.cert ? { certificateFile: options.cert, privateKeyFile: options.key } : {}),
  clientCertificateManager,
});
await client.connect(options.address);
const session = await client.createSession();
const index = (await session.readNamespaceArray()).indexOf(options.uri);
const id = (name) => `ns=${index};s=${options.base.replace("*", name)}`;
const read = async (name) => {
  const value = await session.read({ nodeId: id(name), attributeId: AttributeIds.Value });
  if (value.statusCode.isNotGood()) throw new Error(`${name}: ${value.statusCode}`);
  return value.value.value;
};
const write = async (name, value) => {
  const status = await session.write({ nodeId: id(name), attributeId: AttributeIds.Value, value: { value: { dataType: DataType.Boolean, value } } });
  if (status.isNotGood()) throw new Error(`write of ${name}: ${status}`);
};
const subscription = await session.createSubscription2({ requestedPublishingInterval: 50, requestedMaxKeepAliveCount: 20, requestedLifetimeCount: 200, publishingEnabled: true, maxNotificationsPerPublish: 0, priority: 0 });
const item = await subscription.monitor({ nodeId: id("Ready"), attributeId: AttributeIds.Value }, { samplingInterval: 20, queueSize: 10, discardOldest: false }, TimestampsToReturn.Both);
let left = options.count;
let taken = false;
let done;
const finished = new Promise((resolve, reject) => {
  done = resolve;
  setTimeout(() => reject(new Error(`${left} of ${options.count} results did not come within 20 s`)), 20000);
});
let work = Promise.resolve();
item.on("changed", (data) => {
  work = work.then(async () => {
    if (left <= 0) return;
    if (data.value.value) {
      process.stdout.write(JSON.stringify({ number: await read("Number"), torque: await read("Torque"), unit: await read("Unit"), verdict: await read("Verdict") }) + "\n");
      await write("Ack", true);
      taken = true;
    } else if (taken) {
      await write("Ack", false);
      taken = false;
      left -= 1;
    }
    if (left === 0) done();
  }).catch((error) => { console.error(error); process.exit(1); });
});
await finished;
await session.close();
await client.disconnect();
process.exit(0);
