-- What roles and grants of this database are not as they should be: for people what will be, and the statement that makes
-- it so, in the order in which they must run. Nothing where all is well.
--
-- %(places)s: [{role, schema}] of the owners that live in this database; %(owners)s: the roles of all owners;
-- %(grants)s: [{reader, owner, schema, privilege}]: what one owner may do with another's tables.
with place as materialized (
    select p.role, p.schema, r.oid
    from jsonb_to_recordset(%(places)s) p(role text, schema text)
    join pg_roles r on r.rolname = p.role
),
owner as materialized (select r.oid, r.rolname::text as role from pg_roles r where r.rolname = any (%(owners)s)),
here as materialized (
    select d.oid, d.datdba, d.datname::text as name from pg_database d where d.datname = current_database()
),
wish as materialized (
    select g.*, case g.privilege when 'select' then 'read' else 'refer to' end as verb,
           o.oid as owner_id, r.oid as reader_id, n.oid as schema_id
    from jsonb_to_recordset(%(grants)s) g(reader text, owner text, schema text, privilege text)
    join owner o on o.role = g.owner
    join owner r on r.role = g.reader
    left join pg_namespace n on n.nspname = g.schema
),
-- what new tables of an owner come with, for another one
given as materialized (
    select o.role as owner, o.oid as owner_id, r.role as reader, r.oid as reader_id, n.nspname::text as schema,
           lower(a.privilege_type) as privilege,
           case a.privilege_type when 'SELECT' then 'read' when 'REFERENCES' then 'refer to'
                                 else lower(a.privilege_type) end as verb
    from pg_default_acl d
    cross join lateral aclexplode(d.defaclacl) a
    join owner o on o.oid = d.defaclrole
    join owner r on r.oid = a.grantee and r.oid <> o.oid
    join pg_namespace n on n.oid = d.defaclnamespace
    where d.defaclobjtype = 'r'
)
select what, statement
from (
    select 1, format('the database belongs to %%s', current_user), format('alter database %%I owner to %%I', name, current_user)
    from here where datdba in (select oid from owner)
    union all
    select 2, 'nobody else creates in the database', format('revoke create on database %%I from public', name)
    from here where has_database_privilege('public', oid, 'create')
    union all
    select 3, format('%%s may use the database', p.role), format('grant connect, create, temporary on database %%I to %%I', h.name, p.role)
    from place p, here h
    where not (has_database_privilege(p.oid, h.oid, 'connect') and has_database_privilege(p.oid, h.oid, 'create')
               and has_database_privilege(p.oid, h.oid, 'temporary'))
       -- what an owner of a database had goes to the next one
       or h.datdba = p.oid
    union all
    -- a database that not all owners live in is no business of the others
    select 3, 'nobody else connects to the database', format('revoke all on database %%I from public', name)
    from here where (select count(*) from place) < (select count(*) from owner)
                and (has_database_privilege('public', oid, 'connect')
                     or has_database_privilege('public', oid, 'temporary'))
    union all
    select 4, 'no owner owns the schema public', 'alter schema public owner to pg_database_owner'
    from pg_namespace where nspname = 'public' and nspowner in (select oid from owner)
    union all
    select 5, 'nobody else creates in the schema public', 'revoke create on schema public from public'
    from pg_namespace where nspname = 'public' and has_schema_privilege('public', oid, 'create')
    union all
    select 6, format('schema %%s made for %%s', p.schema, p.role), format('create schema %%I authorization %%I', p.schema, p.role)
    from place p where p.schema <> 'public' and not exists (select from pg_namespace where nspname = p.schema)
    union all
    select 7, format('schema %%s belongs to %%s', p.schema, p.role), format('alter schema %%I owner to %%I', p.schema, p.role)
    from place p join pg_namespace n on n.nspname = p.schema
    where p.schema <> 'public' and n.nspowner <> p.oid
    union all
    select 8, format('%%s may create in the schema public', p.role), format('grant usage, create on schema public to %%I', p.role)
    from place p join pg_namespace n on n.nspname = 'public'
    where p.schema = 'public'
      and not (has_schema_privilege(p.oid, n.oid, 'usage') and has_schema_privilege(p.oid, n.oid, 'create')
               and n.nspowner <> p.oid)
    union all
    select 9, format('%%s may not create in the schema public', p.role), format('revoke create on schema public from %%I', p.role)
    from place p join pg_namespace n on n.nspname = 'public'
    where p.schema <> 'public'
      and exists (select from aclexplode(n.nspacl) a where a.grantee = p.oid and a.privilege_type = 'CREATE')
    union all
    select 10,
           format('%%s finds its tables in the schema %%s', p.role, p.schema),
           format('alter role %%I in database %%I set search_path = %%s', p.role, h.name, p.path)
    from (
        -- never the default, whose "$user" is a schema that another layout has made
        select role, oid, schema, case when schema = 'public' then 'public' else format('%%I, public', schema) end as path
        from place
    ) p
    cross join here h
    left join lateral (
        select c as text from pg_db_role_setting s, unnest(s.setconfig) c
        where s.setdatabase = h.oid and s.setrole = p.oid and c like 'search\_path=%%'
    ) now on true
    where now.text is distinct from 'search_path=' || p.path
    union all
    select 11, format('%%s may look into the schema %%s', reader, schema), format('grant usage on schema %%I to %%I', schema, reader)
    from (select distinct reader, reader_id, schema, schema_id from wish) w
    where schema_id is null or not has_schema_privilege(reader_id, schema_id, 'usage')
    union all
    select 12, format('%%s may %%s tables of %%s', w.reader, w.verb, w.owner),
           format('alter default privileges for role %%I in schema %%I grant %%s on tables to %%I',
                  w.owner, w.schema, w.privilege, w.reader)
    from wish w
    where not exists (select from given g
                      where (g.reader, g.owner, g.schema, g.privilege) = (w.reader, w.owner, w.schema, w.privilege))
    union all
    select 13, format('%%s may %%s tables of %%s', w.reader, w.verb, w.owner),
           format('grant %%s on %%s to %%I', w.privilege, string_agg(c.oid::regclass::text, ', '), w.reader)
    from wish w
    join pg_class c on c.relowner = w.owner_id and c.relkind in ('r', 'p', 'v', 'm', 'f')
    where not has_table_privilege(w.reader_id, c.oid, w.privilege)
    group by w.reader, w.privilege, w.verb, w.owner
    union all
    select 14, format('%%s may not %%s tables of %%s any more', g.reader, g.verb, g.owner),
           format('alter default privileges for role %%I in schema %%I revoke %%s on tables from %%I',
                  g.owner, g.schema, g.privilege, g.reader)
           || coalesce('; revoke ' || g.privilege || ' on ' || string_agg(c.oid::regclass::text, ', ')
                       || format(' from %%I', g.reader), '')
    from given g
    left join pg_class c on c.relowner = g.owner_id and c.relkind in ('r', 'p', 'v', 'm', 'f')
                        and has_table_privilege(g.reader_id, c.oid, g.privilege)
                        -- not where only the schema is another one than before
                        and not exists (select from wish w
                                        where (w.reader, w.owner, w.privilege) = (g.reader, g.owner, g.privilege))
    where not exists (select from wish w
                      where (g.reader, g.owner, g.schema, g.privilege) = (w.reader, w.owner, w.schema, w.privilege))
    group by g.reader, g.privilege, g.verb, g.owner, g.schema
) as repair (step, what, statement)
order by step, what
