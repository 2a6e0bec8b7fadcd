/** Starts the built server: in the image, and without Docker as `pnpm start`. */
import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage } from "node:http";

import { EnvError, readEnv } from "./env.ts";

try {
  readEnv();
} catch (error) {
  if (!(error instanceof EnvError)) throw error;
  console.error(`sso: ${error.message}`);
  process.exit(1);
}

// Next's server reads its address from HOSTNAME, which a container engine sets to the container's id.
process.env["HOSTNAME"] = process.env["HOST"] ?? "127.0.0.1";
process.env["PORT"] ??= "3001";

// Attempts are counted by client address. Next takes that from X-Forwarded-For and fills it in only where the client did not,
// so anyone could pretend to be somebody else on each attempt. No proxy stands in front of this server: the peer is the client.
subscribe("http.server.request.start", (message) => {
  const { request } = message as { request: IncomingMessage };
  request.headers["x-forwarded-for"] = request.socket.remoteAddress;
});

// Next ends on SIGTERM when the last request has been answered, however long that takes: someone may keep one open.
for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15]] as const) {
  process.once(signal, () => setTimeout(() => process.exit(128 + number), 300));
}

await import(new URL("../.next/standalone/server.js", import.meta.url).href);
