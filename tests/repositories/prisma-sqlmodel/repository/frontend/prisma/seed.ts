import { PrismaClient } from "@prisma/client";

const prisma = new PrismaClient();

await prisma.user.upsert({
  where: { email: "admin@shop.test" },
  update: {},
  create: { email: "admin@shop.test", name: "Admin" },
});
