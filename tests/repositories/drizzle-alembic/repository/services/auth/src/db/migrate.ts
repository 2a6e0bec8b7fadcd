import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";

const db = drizzle(process.env.AUTH_DATABASE_URL!);
await migrate(db, { migrationsFolder: "src/db/migrations", migrationsTable: "auth_migrations" });
process.exit(0);
