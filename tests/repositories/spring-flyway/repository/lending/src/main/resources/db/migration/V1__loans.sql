create table loan (
    id bigint generated always as identity primary key,
    amount numeric not null
);
