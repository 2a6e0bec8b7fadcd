import { migrate } from "drizzle-orm/node-postgres/migrator";
import { db, pool } from "./database.ts";

await migrate(db, { migrationsFolder: new URL("../migrations", import.meta.url).pathname });
await pool.end();
console.log("migrated");
