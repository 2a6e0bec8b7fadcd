import { Migration } from '@mikro-orm/migrations';

export class Migration20261123100629 extends Migration {

  override name = 'Migration20261123100629';

  override up(): void | Promise<void> {
    this.addSql(`create table "user" ("id" text not null, "email" text not null, primary key ("id"));`);
    this.addSql(`alter table "user" add constraint "user_email_unique" unique ("email");`);

    this.addSql(`create table "session" ("id" text not null, "user_id" text not null, primary key ("id"));`);

    this.addSql(`alter table "session" add constraint "session_user_id_foreign" foreign key ("user_id") references "user" ("id") on delete cascade;`);
  }

}
