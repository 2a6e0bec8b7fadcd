create table if not exists audit (
  id bigserial primary key,
  what text not null
);
