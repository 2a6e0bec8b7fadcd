import { defineConfig } from "prisma/config";

import { engine } from "./prisma.config.ts";

// As an owner beside others has it: what is external is neither dropped nor altered.
export default defineConfig({
  ...engine,
  experimental: { adapter: true, externalTables: true },
  tables: { external: ["public.worker", "public.task", "public.event", "public.event_2026"] },
});
