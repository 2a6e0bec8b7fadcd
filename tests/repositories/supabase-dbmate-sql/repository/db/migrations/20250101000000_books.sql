-- migrate:up
create table books (id bigserial primary key, title text not null);

-- migrate:down
drop table books;
