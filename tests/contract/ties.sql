-- What leads to the tables of other owners, where they share a database.
create table tie (
    id int primary key, account_id int not null references {sso}.account on delete cascade,
    task_id int references {api}.task deferrable, level {sso}.level
);
insert into tie values (1, 1, 1, 'user'), (2, 2, null, null);
create view reads as select t.id, a.email from tie t join {sso}.account a on a.id = t.account_id;
create materialized view read_once as select count(*) from {api}.task;
