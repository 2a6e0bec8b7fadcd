-- A row for every table of every owner: what a stack is full of, beside what its seed made.
insert into "user" (id, name, email) values ('u-1', 'Grace', 'grace@example.com'), ('u-2', 'Ada', 'ada@example.com');
insert into account (id, account_id, provider_id, user_id, password) values ('a-1', 'u-1', 'credential', 'u-1', 'x');
insert into session (id, token, user_id, expires_at)
values ('s-1', 't-1', 'u-1', now() + interval '1 year'), ('s-2', 't-2', 'u-2', now() + interval '1 year');
insert into verification (id, identifier, value, expires_at) values ('v-1', 'a code', '1', now() + interval '1 year');
insert into oauth_refresh_token (id, token, client_id, user_id, expires_at, created_at, scopes)
select 'r-1', 't-1', client_id, 'u-1', now() + interval '1 year', now(), '{openid}' from oauth_client;
insert into oauth_access_token (id, token, client_id, user_id, refresh_id, expires_at, created_at, scopes)
select 't-1', 't-1', client_id, 'u-1', 'r-1', now() + interval '1 year', now(), '{openid}' from oauth_client;
insert into oauth_consent (id, client_id, user_id, scopes, created_at, updated_at)
select 'c-1', client_id, 'u-1', '{openid}', now(), now() from oauth_client;
insert into oauth_client_assertion (id, expires_at) values ('j-1', now() + interval '1 year');
insert into worker (sub, name, email) select 'u-' || n, 'worker ' || n, n || '@example.com' from generate_series(1, 3) n;
insert into project (name) values ('Compiler'), ('Engine');
insert into task (title, project_id, assignee_id, created_at)
select 'task ' || n, p.id, w.id, now() from project p, worker w, generate_series(1, 7) n;
insert into audit_log (at, actor_id, action, entity, entity_id, detail)
select now(), w.id, 'created', 'task', t.id, t.title from worker w, task t;
