import { DataSource, EntitySchema } from "typeorm";

const user = new EntitySchema({
  name: "user",
  columns: { id: { type: "text", primary: true }, email: { type: "text", unique: true } },
});

const session = new EntitySchema({
  name: "session",
  columns: { id: { type: "text", primary: true } },
  relations: {
    user: {
      type: "many-to-one",
      target: "user",
      joinColumn: { name: "user_id" },
      nullable: false,
      onDelete: "CASCADE",
    },
  },
});

export default new DataSource({
  type: "postgres",
  url: process.env["DATABASE_URL"],
  entities: [user, session],
  migrations: ["migrations/*.js"],
});
