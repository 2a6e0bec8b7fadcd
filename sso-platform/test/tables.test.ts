import assert from "node:assert/strict";
import { test } from "node:test";

import { integer, pgEnum, pgTable } from "drizzle-orm/pg-core";
// The version drizzle-kit has built in.
import { minimatch } from "minimatch";

import config from "../drizzle.config.ts";
import * as schema from "../src/db/schema.ts";
import { tableNames, tableNamesOf, tablesFilterOf } from "../src/db/tables.ts";

test("the tables filter is exactly the tables of the schema", () => {
  const exports = Object.keys(schema);
  assert.equal(tableNames.length, exports.length);
  assert.deepEqual(config.tablesFilter, tableNames);
  assert.ok(tableNames.includes("user") && tableNames.includes("oauth_client"));
});

test("only tables count, by their name in the database", () => {
  const exports = { colour: pgEnum("colour", ["red"]), someTable: pgTable("some_table", { id: integer("id") }), limit: 3 };
  assert.deepEqual(tableNamesOf(exports), ["some_table"]);
});

for (const name of ["plain", "with space", "a[b]", "a*", "a?", "{a,b}", "!a", "#a", "@(a|b)", "a\\b", "Ünïcode"]) {
  test(`the pattern for the table ${name} matches it and no other`, () => {
    const [pattern = ""] = tablesFilterOf([name]);
    assert.ok(minimatch(name, pattern));
    for (const other of ["a", "b", "ab", "aa", "other"]) assert.ok(!minimatch(other, pattern), other);
  });
}
