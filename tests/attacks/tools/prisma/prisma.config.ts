import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { defineConfig } from "prisma/config";

// The schema engine reads the catalog, which has columns of types that the adapter does not know: `"char"` and `name`.
const CHAR = 18;
const NAME = 19;
const TEXT = 25;
const CHARACTER = 6; // of the adapter's own types
const ofOneLetter = new Set();
const { handleRowDescription } = pg.Query.prototype;
pg.Query.prototype.handleRowDescription = function (message) {
  for (const field of message.fields) {
    if (field.dataTypeID === CHAR) ofOneLetter.add(field.name);
    if (field.dataTypeID === CHAR || field.dataTypeID === NAME) field.dataTypeID = TEXT;
  }
  return handleRowDescription.call(this, message);
};

// A timer that nobody clears keeps the finished command for a minute.
const { setTimeout: later } = globalThis;
globalThis.setTimeout = (run, milliseconds, ...rest) => {
  const timer = later(run, milliseconds, ...rest);
  return milliseconds < 10_000 ? timer : timer.unref();
};

class CatalogReader extends PrismaPg {
  async connect() {
    return corrected(await super.connect());
  }
}

function corrected(adapter) {
  const { queryRaw } = adapter;
  adapter.queryRaw = async (query) => {
    const found = await queryRaw.call(adapter, query);
    found.columnTypes = found.columnTypes.map((type, at) => (ofOneLetter.has(found.columnNames[at]) ? CHARACTER : type));
    return found;
  };
  return adapter;
}

// engine "js": the one that came with the package. The other one is a download of its own, from no package registry.
export const engine = {
  schema: "./schema.prisma",
  experimental: { adapter: true },
  engine: "js",
  adapter: async () => new CatalogReader({ connectionString: process.env["DATABASE_URL"], idleTimeoutMillis: 100 }),
};

export default defineConfig(engine);
