import assert from "node:assert/strict";
import { test } from "node:test";

import { getAuthTables } from "better-auth/db";
import { getTableColumns } from "drizzle-orm";

import { getAuth } from "../src/auth.ts";
import * as schema from "../src/db/schema.ts";

// Nothing is connected to: the pool waits for a first query.
Object.assign(process.env, {
  DATABASE_URL: "postgresql://nobody@localhost/none",
  SSO_URL: "http://localhost:3001",
  WEB_URL: "http://localhost:3000",
  BETTER_AUTH_SECRET: "test-secret-of-at-least-thirty-two-characters",
});

const expected = getAuthTables(getAuth().options);

test("the schema has the tables better-auth uses, and no others", () => {
  assert.deepEqual(Object.keys(schema).sort(), Object.keys(expected).sort());
});

for (const [model, table] of Object.entries(schema)) {
  test(`${model} has the columns better-auth uses`, () => {
    const columns = getTableColumns(table);
    const fields = expected[model]?.fields ?? {};
    assert.deepEqual(Object.keys(columns).sort(), ["id", ...Object.keys(fields)].sort());
    for (const [name, column] of Object.entries(columns)) {
      assert.ok(!/serial|enum/i.test(column.columnType), `${name} must not need a sequence or enum`);
      if (fields[name]?.required === false) assert.ok(!column.notNull || column.hasDefault, `${name} may be left out`);
    }
  });
}
