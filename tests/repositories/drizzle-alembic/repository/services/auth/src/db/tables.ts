import { getTableConfig } from "drizzle-orm/pg-core";

import * as schema from "./schema";

export const tables = Object.values(schema).map((table) => getTableConfig(table));
