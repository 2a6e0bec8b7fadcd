import { prisma } from "../src/db";

await prisma.account.create({ data: { name: "Cash" } });
