export const env = {
  DATABASE_URL: Bun.env.DATABASE_URL ?? "",
};
