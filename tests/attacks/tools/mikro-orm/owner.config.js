import { Migrator } from "@mikro-orm/migrations";

import config from "./mikro-orm.config.js";

// As an owner beside others has it.
export default {
  ...config,
  extensions: [Migrator],
  migrations: { path: "./migrations", snapshot: false },
  schemaGenerator: { skipTables: ["worker", "task", "event", "event_2026"], skipViews: ["open_task", "busy"], ignoreSchema: ["bootorder", "api"] },
};
