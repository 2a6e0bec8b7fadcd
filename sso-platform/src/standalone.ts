/** Last step of the build: `output: "standalone"` leaves it to us to put the static files beside the server. */
import { cpSync } from "node:fs";

const root = new URL("../.next/", import.meta.url);
cpSync(new URL("static/", root), new URL("standalone/.next/static/", root), { recursive: true });
