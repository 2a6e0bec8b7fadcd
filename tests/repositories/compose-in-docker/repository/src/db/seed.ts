import { db } from './index.js';
import { items } from './schema.js';

await db.insert(items).values({ sku: 'A-1', count: 10 });
