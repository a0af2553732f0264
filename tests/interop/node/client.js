"use strict";
// A client of node-nutrunner-open-library: connects, subscribes to results, and prints what it makes of each as a JSON line.
// usage: node client.js PORT COUNT
// The library speaks revision 1, writes four blanks too many behind each header, and takes a mirrored keep-alive for a broken
// frame: so it is only held to results that come within its 7 s.

const { OpenProtocolNutrunner } = require("node-nutrunner-open-library");

const [port, count] = process.argv.slice(2).map(Number);
const say = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const client = new OpenProtocolNutrunner({ host: "127.0.0.1", port, brand: "simulator", autoReconnect: false });
let left = count;

client.on("linkEstablished", () => say("established"));
client.on("revisionNegotiated", ({ revision }) => say("subscribed", { revision }));
client.on("spindleResult", (result) => say("result", { result }));
client.on("tighteningCycleCompleted", () => {
  // Its acknowledgement is on its way: the one behind it tells that it was taken.
  left -= 1;
  if (left === 0) {
    client.autoReconnect = false;
    client.socket.end();
  }
});
for (const trouble of ["frameError", "parseError", "commandFailed", "commandTimeout", "commandAborted"]) {
  client.on(trouble, (what) => say("trouble", { trouble, what }));
}
client.on("error", (error) => say("trouble", { trouble: "error", what: error.message }));
client.on("disconnected", () => {
  say("disconnected");
  process.exitCode = left === 0 ? 0 : 1;
});
client.connect().catch((error) => {
  say("trouble", { trouble: "connect", what: error.message });
  process.exitCode = 1;
});
