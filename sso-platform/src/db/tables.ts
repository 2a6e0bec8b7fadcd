/** The names of this service's tables, read from the schema, so that nothing else has to list them. */
import { is } from "drizzle-orm";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";

import * as schema from "./schema.ts";

/** Every table among the exports of a schema module, by its name in the database. */
export function tableNamesOf(exports: Record<string, unknown>): string[] {
  return Object.values(exports)
    .filter((value) => is(value, PgTable))
    .map((table) => getTableConfig(table).name)
    .sort();
}

/** The table names as patterns for drizzle-kit, which matches them as globs: `a[b]` must mean just that table. */
export function tablesFilterOf(names: readonly string[]): string[] {
  return names.map((name) => name.replace(/[\\*?[\]{}()!+@#|]/g, "\\$&"));
}

export const tableNames = tableNamesOf(schema);
