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
    select d.oid, d.datdba, d.datacl, d.datname::text as name from pg_database d where d.datname = current_database()
),
verb (privilege, verb) as (
    values ('select', 'read'), ('references', 'refer to'), ('insert', 'insert into'), ('delete', 'delete from'),
           ('trigger', 'put triggers on'), ('usage', 'use'), ('create', 'create in'), ('execute', 'call')
),
-- who may do something with another's tables may have columns of its types, too
wish as materialized (
    select g.*, v.verb, o.oid as owner_id, r.oid as reader_id, n.oid as schema_id
    from (
        select reader, owner, schema, privilege, 'table' as kind
        from jsonb_to_recordset(%(grants)s) g(reader text, owner text, schema text, privilege text)
        union
        select reader, owner, schema, 'usage', 'type'
        from jsonb_to_recordset(%(grants)s) g(reader text, owner text, schema text)
    ) g
    join verb v using (privilege)
    join owner o on o.role = g.owner
    join owner r on r.role = g.reader
    left join pg_namespace n on n.nspname = g.schema
),
mine as materialized (
    select s.classid, s.objid, o.oid as owner_id, o.role as owner
    from pg_shdepend s
    join owner o on s.refclassid = 'pg_authid'::regclass and s.refobjid = o.oid
    join here h on h.oid = s.dbid
    where s.deptype = 'o'
),
-- what the owners have that rights are given on; those on columns stand with their table
thing as materialized (
    select case c.relkind when 'S' then 'sequence' else 'table' end as kind, c.oid, '' as columns, c.relacl as acl,
           m.owner_id, m.owner
    from mine m join pg_class c on m.classid = 'pg_class'::regclass and c.oid = m.objid
    where c.relpersistence <> 't'
    union all
    select 'table', a.attrelid, format(' (%%I)', a.attname), a.attacl, m.owner_id, m.owner
    from mine m join pg_attribute a on m.classid = 'pg_class'::regclass and a.attrelid = m.objid
    where a.attacl is not null and not a.attisdropped -- one that was dropped keeps its rights up to PostgreSQL 16
    union all
    -- none of a table's rows: those are seen to by the triggers
    select 'type', t.oid, '', coalesce(t.typacl, acldefault('T', t.typowner)), m.owner_id, m.owner
    from mine m join pg_type t on m.classid = 'pg_type'::regclass and t.oid = m.objid
    union all
    select 'routine', p.oid, '', p.proacl, m.owner_id, m.owner
    from mine m join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
    union all
    select 'schema', n.oid, '', n.nspacl, m.owner_id, m.owner
    from mine m join pg_namespace n on m.classid = 'pg_namespace'::regclass and n.oid = m.objid
    where n.nspname <> 'public'
),
-- what everybody (0) and each owner may do with another's things
has as materialized (
    select t.*, a.grantor, a.grantee, r.role as reader, lower(a.privilege_type) as privilege, a.is_grantable
    from thing t
    cross join lateral aclexplode(t.acl) a
    left join owner r on r.oid = a.grantee
    where a.grantee <> t.owner_id and (a.grantee = 0 or r.oid is not null)
      -- PostgreSQL's own rule
      and not (t.kind = 'routine' and a.grantee = 0)
),
-- and will with new ones; without a schema: with all
given as materialized (
    select case d.defaclobjtype when 'r' then 'table' when 'S' then 'sequence' when 'f' then 'routine' when 'T' then 'type'
                                when 'n' then 'schema' else 'large object' end as kind,
           o.role as owner, o.oid as owner_id, a.grantee, r.role as reader, n.nspname::text as schema,
           lower(a.privilege_type) as privilege, a.is_grantable
    from pg_default_acl d
    cross join lateral aclexplode(d.defaclacl) a
    join owner o on o.oid = d.defaclrole
    left join owner r on r.oid = a.grantee
    left join pg_namespace n on n.oid = d.defaclnamespace
    where a.grantee <> o.oid and (a.grantee = 0 or r.oid is not null)
      and not (d.defaclobjtype = 'f' and a.grantee = 0)
),
-- what of both nobody wished, or was given so that it can be passed on
excess as (
    select f.*, coalesce(quote_ident(f.reader), 'public') as whom,
           case when f.wished then 'grant option for ' else '' end || f.privilege as "right",
           format(case when f.wished then '%%s may not let others %%s %%ss of %%s'
                       else '%%s may not %%s %%ss of %%s any more' end,
                  coalesce(f.reader, 'PUBLIC'), coalesce(v.verb, f.privilege), f.kind, f.owner) as what
    from (
        select h.kind, h.oid, h.columns, h.owner, h.owner_id, h.reader, h.grantor, h.privilege, h.is_grantable,
               null as schema,
               exists (select from wish w
                       where w.reader_id = h.grantee
                         and ((w.kind, w.owner_id, w.privilege) = (h.kind, h.owner_id, h.privilege)
                              or (h.kind, h.oid, h.privilege) = ('schema', w.schema_id, 'usage'))) as wished
        from has h
        union all
        select g.kind, null, null, g.owner, g.owner_id, g.reader, null, g.privilege, g.is_grantable, g.schema,
               exists (select from wish w
                       where (w.reader_id, w.kind, w.owner_id, w.privilege, w.schema)
                             = (g.grantee, g.kind, g.owner_id, g.privilege, g.schema))
        from given g
    ) f
    left join verb v using (privilege)
    where f.is_grantable or not f.wished
)
select what, string_agg(statement, '; ' order by step)
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
    select distinct 3, format('%%s may not use the database', o.role),
           format('revoke all on database %%I from %%I', h.name, o.role)
    from here h cross join lateral aclexplode(h.datacl) a join owner o on o.oid = a.grantee
    where o.oid not in (select oid from place)
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
      and not (has_schema_privilege(p.oid, n.oid, 'usage') and n.nspowner <> p.oid
               -- of its own, not as everybody
               and exists (select from aclexplode(n.nspacl) a where a.grantee = p.oid and a.privilege_type = 'CREATE'))
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
    left join pg_namespace n on n.oid = w.schema_id
    where not exists (select from aclexplode(n.nspacl) a where a.grantee = w.reader_id and a.privilege_type = 'USAGE')
      and (w.reader, w.schema) not in (select role, schema from place)
    union all
    select 12, format('%%s may %%s %%ss of %%s', w.reader, w.verb, w.kind, w.owner),
           format('alter default privileges for role %%I in schema %%I grant %%s on %%ss to %%I',
                  w.owner, w.schema, w.privilege, w.kind, w.reader)
    from wish w
    where not exists (select from given g
                      where (g.grantee, g.kind, g.owner_id, g.privilege, g.schema)
                            = (w.reader_id, w.kind, w.owner_id, w.privilege, w.schema))
    union all
    select 13, format('%%s may %%s %%ss of %%s', w.reader, w.verb, w.kind, w.owner),
           format('grant %%s on %%s %%s to %%I', w.privilege, w.kind,
                  string_agg(case w.kind when 'type' then t.oid::regtype::text else t.oid::regclass::text end, ', '),
                  w.reader)
    from wish w
    join thing t on (t.owner_id, t.kind, t.columns) = (w.owner_id, w.kind, '')
    where not exists (select from has h
                      where (h.grantee, h.kind, h.oid, h.columns, h.privilege)
                            = (w.reader_id, t.kind, t.oid, t.columns, w.privilege))
    group by w.reader, w.privilege, w.kind, w.verb, w.owner
    union all
    select 14, what, format('alter default privileges for role %%I%%s revoke %%s on %%ss from %%s',
                            owner, ' in schema ' || quote_ident(schema), "right", kind, whom)
    from excess where oid is null
    union all
    -- a superuser takes back in the name of the owner; what somebody passed on, only that one
    select 15, what,
           format(case when grantor = owner_id then '%%2$s' else 'set local role %%1$s; %%2$s; set local role none' end,
                  grantor::regrole,
                  format('revoke %%s%%s on %%s %%s from %%s cascade', "right", columns, kind, string_agg(name, ', '), whom))
    from (
        select *, case kind when 'type' then oid::regtype::text when 'routine' then oid::regprocedure::text
                            when 'schema' then oid::regnamespace::text else oid::regclass::text end as name
        from excess where oid is not null
    ) taken
    group by what, grantor, owner_id, "right", columns, kind, whom
) as repair (step, what, statement)
group by what
order by min(step), what
