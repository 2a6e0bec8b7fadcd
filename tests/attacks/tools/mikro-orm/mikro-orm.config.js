import { EntitySchema, defineConfig } from "@mikro-orm/postgresql";

const user = new EntitySchema({
  name: "User",
  tableName: "user",
  properties: { id: { type: "text", primary: true }, email: { type: "text", unique: true } },
});

const session = new EntitySchema({
  name: "Session",
  tableName: "session",
  properties: {
    id: { type: "text", primary: true },
    user: { kind: "m:1", entity: () => user, fieldName: "user_id", deleteRule: "cascade" },
  },
});

export default defineConfig({ clientUrl: process.env["DATABASE_URL"], entities: [user, session] });
