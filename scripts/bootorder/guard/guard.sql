-- What roles alone do not stop: an owner's command that takes something of another owner with it (DROP ... CASCADE), and
-- a superuser that changes an owner's table by accident (a push by hand with the admin's URL).
--
-- On purpose it is still possible, for a superuser, until the end of one transaction:
--     begin; select bootorder.allow(); drop table ...; commit;
--
-- Whose a thing is says the catalog (relowner and the like), no list on the side. Installed by the stage `guard`, as a
-- superuser, in every database of the stack; may be run any number of times.

-- First, so that nothing that was put in the place of these functions can refuse what follows.
drop event trigger if exists bootorder_start;
drop event trigger if exists bootorder_drop;
drop event trigger if exists bootorder_change;
drop event trigger if exists bootorder_cover;

create schema if not exists bootorder;
revoke all on schema bootorder from public;
grant usage on schema bootorder to public;

-- The roles whose things are guarded; filled by the stage.
create table if not exists bootorder.owner (role oid primary key);
grant select on bootorder.owner to public;

-- The names that each owner's tool makes, and the schema in which it does; filled before it is run.
create table if not exists bootorder.reserved (role oid, name text);
alter table bootorder.reserved drop constraint if exists reserved_pkey, add column if not exists schema text;
create index if not exists reserved_name on bootorder.reserved (name);
grant select on bootorder.reserved to public;

-- A column of such a type, in a table of an owner, would keep these tables as they are for ever.
revoke usage on type bootorder.owner, bootorder.reserved from public;

create or replace function bootorder.allow() returns text
language sql volatile set search_path = pg_catalog, pg_temp
begin atomic
    select 'allowed until the end of this transaction'
    from set_config('bootorder.allowed', pg_current_xact_id()::text, true);
end;

create or replace function bootorder.is_allowed() returns boolean
language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce((select rolsuper from pg_roles where rolname = current_user)
                    and current_setting('bootorder.allowed', true) = pg_current_xact_id()::text, false);
end;

-- The owners whose things whoever runs the current command may not change; none once it was allowed on purpose.
create or replace function bootorder.others() returns oid[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    me oid := quote_ident(current_user)::regrole;
begin
    if bootorder.is_allowed() then
        return '{}';
    end if;
    if (select rolsuper from pg_roles where oid = me) then
        return array(select role from bootorder.owner where role <> me);
    end if;
    return array(select role from bootorder.owner where not pg_has_role(me, role, 'usage'));
end
$$;

-- The functions that look at a command are STABLE: their queries see the catalog as it was before the command, so that
-- what was dropped still has an owner, and what was renamed its name. (VOLATILE ones see it as it is afterwards.)
create or replace function bootorder.owner_before(class oid, object oid) returns oid
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    case class
        when 'pg_class'::regclass then return (select relowner from pg_class where oid = object);
        when 'pg_constraint'::regclass then
            return (select coalesce(c.relowner, t.typowner)
             from pg_constraint k
             left join pg_class c on c.oid = k.conrelid
             left join pg_type t on t.oid = k.contypid
             where k.oid = object);
        when 'pg_trigger'::regclass then
            -- those of a foreign key stand on both tables and go with it
            return (select c.relowner from pg_trigger t join pg_class c on c.oid = t.tgrelid
             where t.oid = object and not t.tgisinternal);
        when 'pg_policy'::regclass then
            return (select c.relowner from pg_policy p join pg_class c on c.oid = p.polrelid where p.oid = object);
        when 'pg_rewrite'::regclass then
            -- a view's own rule goes with the view
            return (select c.relowner from pg_rewrite r join pg_class c on c.oid = r.ev_class
             where r.oid = object and r.rulename <> '_RETURN');
        when 'pg_attrdef'::regclass then
            return (select c.relowner from pg_attrdef d join pg_class c on c.oid = d.adrelid where d.oid = object);
        when 'pg_type'::regclass then
            -- a table's row type and an array's type go with what they are of
            return (select t.typowner from pg_type t left join pg_class c on c.oid = t.typrelid
             where t.oid = object and t.typcategory <> 'A' and coalesce(c.relkind, 'c') = 'c');
        when 'pg_proc'::regclass then return (select proowner from pg_proc where oid = object);
        when 'pg_extension'::regclass then return (select extowner from pg_extension where oid = object);
        when 'pg_namespace'::regclass then return (select nspowner from pg_namespace where oid = object);
        when 'pg_statistic_ext'::regclass then return (select stxowner from pg_statistic_ext where oid = object);
        when 'pg_collation'::regclass then return (select collowner from pg_collation where oid = object);
        when 'pg_operator'::regclass then return (select oprowner from pg_operator where oid = object);
        when 'pg_ts_config'::regclass then return (select cfgowner from pg_ts_config where oid = object);
        when 'pg_ts_dict'::regclass then return (select dictowner from pg_ts_dict where oid = object);
        when 'pg_foreign_server'::regclass then return (select srvowner from pg_foreign_server where oid = object);
        else return null;
    end case;
end
$$;

-- Of what was not there before, and changes what happens to the rows of the table it stands on. VOLATILE, see above.
create or replace function bootorder.owner_of_new(class oid, object oid) returns oid
language sql volatile
begin atomic
    select c.relowner
    from pg_class c
    where c.oid = case class
        when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = object)
        when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = object)
        when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = object)
    end;
end;

create or replace function bootorder.base_type(type oid) returns oid
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    -- a dropped column has no type any more, and some plans ask before they leave it out
    base oid := coalesce((select typbasetype from pg_type where oid = type), 0);
begin
    return case when base = 0 then type else bootorder.base_type(base) end;
end
$$;

-- Foreign keys from one owner's table to another's that compare two types of which one is an owner's: a cast that its
-- owner makes then runs as the other, who checks the key.
create or replace view bootorder.foreign_cast as
    select distinct k.oid, k.conrelid, k.confrelid,
           format('foreign key %s of %s compares %s with %s of %s', quote_ident(k.conname), k.conrelid::regclass,
                  format_type(a.atttypid, null), format_type(b.atttypid, null), k.confrelid::regclass) as what
    from pg_constraint k
    join pg_class child on child.oid = k.conrelid
    join pg_class parent on parent.oid = k.confrelid and parent.relowner <> child.relowner
    cross join lateral unnest(k.conkey, k.confkey) as pair (child_column, parent_column)
    join pg_attribute a on (a.attrelid, a.attnum) = (k.conrelid, pair.child_column)
    join pg_attribute b on (b.attrelid, b.attnum) = (k.confrelid, pair.parent_column)
    cross join lateral (values (bootorder.base_type(a.atttypid)), (bootorder.base_type(b.atttypid))) as base (type)
    join pg_type t on t.oid = base.type
    join pg_roles r on r.oid = t.typowner and not r.rolsuper
    where k.contype = 'f' and a.atttypid <> b.atttypid
      and bootorder.base_type(a.atttypid) <> bootorder.base_type(b.atttypid);
grant select on bootorder.foreign_cast to public;

-- What an owner has, and has not all rights on: somebody has revoked its own.
create or replace view bootorder.curtailed as
    select c.oid as id, format('%s of %s', c.oid::regclass, c.relowner::regrole) as what
    from pg_class c join bootorder.owner o on o.role = c.relowner
    where c.relacl is not null and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
      and exists (select from aclexplode(acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner)) d
                  -- one that came with PostgreSQL 17 is in no older list
                  where d.grantee = c.relowner and d.privilege_type <> 'MAINTAIN'
                    and not exists (select from aclexplode(c.relacl) a
                                    where (a.grantee, a.privilege_type) = (c.relowner, d.privilege_type)))
    union all
    select n.oid, format('schema %s of %s', quote_ident(n.nspname), n.nspowner::regrole)
    from pg_namespace n join bootorder.owner o on o.role = n.nspowner
    where n.nspacl is not null
      and (select count(*) from aclexplode(n.nspacl) a where a.grantee = n.nspowner) < 2;
grant select on bootorder.curtailed to public;

-- What a superuser's command could add to, as it was before: rights that lack, parts of an extension, of a table.
create or replace function bootorder.ties_before(tag text) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        return '{}';
    end if;
    return case
        when tag = 'REVOKE' then array(select id::text from bootorder.curtailed)
        when tag = 'ALTER EXTENSION' then
            array(select format('%s/%s', classid, objid) from pg_depend where deptype = 'e')
        when tag in ('ALTER TABLE', 'CREATE TABLE', 'ALTER FOREIGN TABLE', 'CREATE FOREIGN TABLE') then
            array(select format('%s/%s', inhrelid, inhparent) from pg_inherits)
        else '{}'
    end;
end
$$;

-- What a command has bound to another owner's things, or taken from them, that is no change of these themselves.
create or replace function bootorder.new_ties(tag text, others oid[], before text[]) returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    changed oid[];
begin
    if tag = 'REVOKE' and (select rolsuper from pg_roles where rolname = current_user) then
        return (select array_agg(format('rights of %s on its own: %s', c.relowner::regrole, t.what) order by t.what)
                from bootorder.curtailed t join pg_class c on c.oid = t.id and c.relowner = any (others)
                where t.id::text <> all (before));
    elsif tag = 'ALTER EXTENSION' then
        return (select array_agg(format('%s as a part of the extension %s',
                                        pg_describe_object(d.classid, d.objid, 0), c.object_identity))
                from pg_event_trigger_ddl_commands() c
                join pg_depend d on (d.refclassid, d.refobjid, d.deptype) = (c.classid, c.objid, 'e')
                where bootorder.owner_before(d.classid, d.objid) = any (others)
                  and format('%s/%s', d.classid, d.objid) <> all (before));
    elsif tag not in ('ALTER TABLE', 'CREATE TABLE', 'ALTER FOREIGN TABLE', 'CREATE FOREIGN TABLE') then
        return null;
    end if;
    changed := array(select objid from pg_event_trigger_ddl_commands() where classid = 'pg_class'::regclass);
    return (select array_agg(what)
            from (select format('%s as a part of %s', i.inhrelid::regclass, i.inhparent::regclass) as what
                  from pg_inherits i
                  join pg_class child on child.oid = i.inhrelid
                  join pg_class parent on parent.oid = i.inhparent
                  where (i.inhrelid = any (changed) or i.inhparent = any (changed))
                    and child.relowner <> parent.relowner
                    and (child.relowner = any (others) or parent.relowner = any (others))
                    and format('%s/%s', i.inhrelid, i.inhparent) <> all (before)
                  union all
                  select f.what || ', of which one is an owner''s: a cast could run as the other'
                  from bootorder.foreign_cast f
                  where f.conrelid = any (changed) or f.confrelid = any (changed)) as tie);
end
$$;

-- What stands in a schema that other owners look into, too, and that their own statements would reach in place of what they
-- mean, so that its owner's code runs as them: an operator; a function of a name of PostgreSQL's or of another's that fits
-- some arguments better, or that is taken for a cast; a table, view, type or function of a name that another's tool makes.
create or replace view bootorder.decoy as
    select d.class, d.id, d.owner, d.what
    from (
        select 'pg_operator'::regclass::oid as class, o.oid as id, o.oprowner as owner, o.oprnamespace as home,
               format('operator %s, which fits types better than PostgreSQL''s', o.oid::regoperator) as what
        from pg_operator o
        union all
        select 'pg_proc'::regclass::oid, p.oid, p.proowner, p.pronamespace,
               format('function %s, which fits some arguments better than %s', p.oid::regprocedure,
                      other.oid::regprocedure)
        from pg_proc p
        join pg_proc other on other.proname = p.proname and other.proowner <> p.proowner
                           and other.proargtypes <> p.proargtypes
        -- how many arguments each can be called with; CALL gives those that are OUT, too
        cross join lateral (values (greatest(p.pronargs, cardinality(p.proallargtypes)),
                                    greatest(other.pronargs, cardinality(other.proallargtypes)))) as most (its, others)
        where (p.provariadic <> 0 or most.its >= other.pronargs - other.pronargdefaults)
          and (other.provariadic <> 0 or most.others >= p.pronargs - p.pronargdefaults)
        union all
        select 'pg_proc'::regclass::oid, p.oid, p.proowner, p.pronamespace,
               format('function %s, which is taken for a cast to %s', p.oid::regprocedure, t.oid::regtype)
        from pg_proc p
        join pg_type t on t.typname = p.proname and t.typowner <> p.proowner
        where p.prokind <> 'p' and p.pronargs >= 1 and p.pronargs - p.pronargdefaults <= 1
        union all
        select 'pg_class'::regclass::oid, c.oid, c.relowner, c.relnamespace,
               format('table or view %s, of a name that the tool of %s makes', c.oid::regclass, r.role::regrole)
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join bootorder.reserved r on r.name = c.relname::text and r.role <> c.relowner
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
          and not exists (select from bootorder.reserved own
                          where (own.role, own.schema, own.name) = (c.relowner, n.nspname::text, c.relname::text))
        union all
        select 'pg_type'::regclass::oid, t.oid, t.typowner, t.typnamespace,
               format('type %s, of a name that the tool of %s makes', t.oid::regtype, r.role::regrole)
        from pg_type t
        join pg_namespace n on n.oid = t.typnamespace
        join bootorder.reserved r on r.name = t.typname::text and r.role <> t.typowner
        left join pg_class c on c.oid = t.typrelid
        where coalesce(c.relkind, 'c') = 'c' and t.typcategory <> 'A'
          and not exists (select from bootorder.reserved own
                          where (own.role, own.schema, own.name) = (t.typowner, n.nspname::text, t.typname::text))
        union all
        select 'pg_proc'::regclass::oid, p.oid, p.proowner, p.pronamespace,
               format('function %s, of a name that the tool of %s makes', p.oid::regprocedure, r.role::regrole)
        from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace
        join bootorder.reserved r on r.name = p.proname::text and r.role <> p.proowner
        where not exists (select from bootorder.reserved own
                          where (own.role, own.schema, own.name) = (p.proowner, n.nspname::text, p.proname::text))
    ) d
    join pg_roles maker on maker.oid = d.owner and not maker.rolsuper
    join pg_namespace s on s.oid = d.home and s.nspowner <> d.owner and s.nspname !~ '^pg_'
    where exists (select from bootorder.owner o
                  where o.role <> d.owner and has_schema_privilege(o.role, d.home, 'usage')
                    and has_database_privilege(o.role, current_database(), 'connect'));
grant select on bootorder.decoy to public;

create or replace function bootorder.decoys() returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    made record;
    found text[] := '{}';
begin
    if (select rolsuper from pg_roles where rolname = current_user) then
        return null;
    end if;
    for made in
        select distinct classid, objid from pg_event_trigger_ddl_commands()
        where command_tag not in ('COMMENT', 'GRANT', 'REVOKE', 'SECURITY LABEL')
          and classid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)
    loop
        found := found || array(select what from bootorder.decoy where class = made.classid and id = made.objid);
    end loop;
    return nullif(found, '{}');
end
$$;

-- Nothing where there is nothing that would be changed.
create or replace function bootorder.refuse(command text, things text[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    more int := cardinality(things) - 20;
begin
    if things is null then
        return;
    end if;
    raise insufficient_privilege using
        message = format('bootorder refused %s: %I does not own what it would change', command, current_user),
        detail = array_to_string(things[:20], e'\n') || case when more > 0 then format(e'\n... and %s more', more) else '' end,
        hint = 'Nothing was changed. On purpose, as a superuser: begin; select bootorder.allow(); ...; commit;';
end
$$;

create or replace function bootorder.refuse_drop() returns event_trigger
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    others oid[];
    things text[];
begin
    if bootorder.is_allowed() then
        return;
    end if;
    -- The guard itself, and what it remembers: to a tool that looks into every schema these are foreign tables, too. And
    -- what keeps a table from TRUNCATE, where the table stays.
    select array_agg(format('%s %s of the guard', object_type, object_identity))
    into things
    from pg_event_trigger_dropped_objects()
    where original
      and (schema_name = 'bootorder'
           or classid = 'pg_trigger'::regclass
              and exists (select from pg_trigger t where t.oid = objid and t.tgfoid = 'bootorder.refuse_truncate'::regproc));
    perform bootorder.refuse(tg_tag, things);
    others := bootorder.others();
    if not exists (select from pg_event_trigger_dropped_objects() d
                   where not d.is_temporary and bootorder.owner_before(d.classid, d.objid) = any (others)) then
        return;
    end if;
    with dropped as materialized (
        select d.*, o.owner
        from pg_event_trigger_dropped_objects() d,
             lateral (select bootorder.owner_before(d.classid, d.objid) as owner) o
        where not d.is_temporary and o.owner = any (others)
    )
    select array_agg(format('%s %s of %s', d.object_type, d.object_identity, d.owner::regrole)
                     order by d.object_type not in ('table', 'view'), d.object_identity)
    into things
    from dropped d
    -- not the parts of what is named itself: indexes, keys, defaults, sequences of columns
    where d.object_type in ('table', 'foreign table', 'view', 'materialized view')
       or not exists (select from pg_depend p
                      join dropped w on (w.classid, w.objid) = (p.refclassid, p.refobjid)
                                    and w.objsubid in (0, p.refobjsubid)
                      where (p.classid, p.objid, p.objsubid) = (d.classid, d.objid, d.objsubid)
                        and p.deptype in ('a', 'i'));
    perform bootorder.refuse(tg_tag, things);
end
$$;

create or replace function bootorder.refuse_change() returns event_trigger
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    others oid[];
    things text[];
begin
    if bootorder.is_allowed() then
        return;
    end if;
    select array_agg(format('%s bootorder.%I of the guard', c.object_type, g.relname))
    into things
    from pg_event_trigger_ddl_commands() c
    join pg_class g on g.oid = c.objid and c.classid = 'pg_class'::regclass
    join pg_namespace n on n.oid = g.relnamespace and n.nspname = 'bootorder'
    -- it was renamed, or moved
    where c.object_identity <> format('bootorder.%I', g.relname);
    perform bootorder.refuse(tg_tag, things);
    others := bootorder.others();
    select array_agg(distinct format('%s %s of %s', c.object_type, c.object_identity, o.owner::regrole))
    into things
    from pg_event_trigger_ddl_commands() c,
         lateral (select coalesce(
             bootorder.owner_before(c.classid, c.objid),
             case when c.command_tag in ('CREATE TRIGGER', 'CREATE POLICY', 'CREATE RULE')
                  then bootorder.owner_of_new(c.classid, c.objid) end) as owner) o
    -- what says nothing of a table's shape or rows
    where c.command_tag not in ('COMMENT', 'GRANT', 'REVOKE', 'SECURITY LABEL', 'CREATE INDEX', 'REINDEX',
                                'REFRESH MATERIALIZED VIEW')
      and (o.owner = any (others)
           -- a schema that is nobody's, e.g. public, with something of theirs in it
           or c.classid = 'pg_namespace'::regclass
              and exists (select from pg_class t where t.relnamespace = c.objid and t.relowner = any (others)));
    perform bootorder.refuse(tg_tag, things);
    perform bootorder.refuse(tg_tag, bootorder.new_ties(tg_tag, others, bootorder.ties_before(tg_tag)));
    things := bootorder.decoys();
    if things is not null then
        raise insufficient_privilege using
            message = format('bootorder refused %s: the statements of other owners would reach it', tg_tag),
            detail = array_to_string(things[:20], e'\n'),
            hint = 'Give it another name, or keep the owners apart: the layout schemas or databases.';
    end if;
end
$$;

-- What cannot be undone when the others look: dropping the schema takes the triggers with it, and what is done
-- CONCURRENTLY is half committed by then. All that can be read before is the command itself.
create or replace function bootorder.refuse_start() returns event_trigger
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if tg_tag in ('DROP SCHEMA', 'ALTER SCHEMA') and current_query() ~* '\mbootorder\M' and not bootorder.is_allowed() then
        perform bootorder.refuse(tg_tag, array['the schema bootorder: the guard']);
    elsif tg_tag in ('DROP INDEX', 'ALTER TABLE') and current_query() ~* '\mconcurrently\M'
          -- whoever is none is refused by PostgreSQL what is not its own
          and (select rolsuper from pg_roles where rolname = current_user) then
        perform bootorder.refuse(tg_tag, array['CONCURRENTLY, by a superuser: do it without, or as the owner (set role)']);
    end if;
end
$$;

-- TRUNCATE is no DDL: no event trigger sees it, a trigger of the table does.
create or replace function bootorder.refuse_truncate() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner oid := (select relowner from pg_class where oid = tg_relid);
begin
    if owner = any (bootorder.others()) then
        perform bootorder.refuse('TRUNCATE', array[format('all rows of %s of %s', tg_relid::regclass, owner::regrole)]);
    end if;
    return null;
end
$$;

-- What could be truncated by accident, or has a type that is everybody's: PostgreSQL lets all roles use types, and a column of
-- another owner would keep one as it is for ever. (Default privileges say nothing of the types of rows.)
create or replace view bootorder.uncovered as
    select c.oid::regclass as relation
    from pg_class c
    join bootorder.owner o on o.role = c.relowner
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
      and (has_type_privilege('public', c.reltype, 'usage')
           or c.relkind in ('r', 'p')
              and not exists (select from pg_trigger t
                              where t.tgrelid = c.oid and t.tgname = 'bootorder' and t.tgenabled = 'A'
                                and t.tgfoid = 'bootorder.refuse_truncate'::regproc));
grant select on bootorder.uncovered to public;

create or replace function bootorder.cover(relation regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    c pg_class := (select c from pg_class c where oid = relation);
begin
    if c.oid is null then
        return; -- it was dropped meanwhile
    end if;
    if has_type_privilege('public', c.reltype, 'usage') then
        execute format('revoke usage on type %s from public', c.reltype::regtype);
    end if;
    if c.relkind not in ('r', 'p') then
        return;
    end if;
    if not exists (select from pg_trigger where tgrelid = relation and tgname = 'bootorder'
                                            and tgfoid = 'bootorder.refuse_truncate'::regproc) then
        execute format('create or replace trigger bootorder before truncate on %s'
                       ' execute function bootorder.refuse_truncate()', relation);
    end if;
    -- also for a session that plays a replica, as restores do
    execute format('alter table %s enable always trigger bootorder', relation);
end
$$;

-- What an owner makes, and what it takes the trigger off.
create or replace function bootorder.cover_new() returns event_trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    made record;
begin
    -- one with an identity column is listed twice
    for made in
        select distinct coalesce(t.tgrelid, d.objid) as id, d.classid = 'pg_type'::regclass as is_type
        from pg_event_trigger_ddl_commands() d
        left join pg_trigger t on d.classid = 'pg_trigger'::regclass and t.oid = d.objid
        where d.classid in ('pg_class'::regclass, 'pg_type'::regclass)
           or t.tgname <> 'bootorder' or t.tgfoid <> 'bootorder.refuse_truncate'::regproc
    loop
        if made.is_type then
            if exists (select from pg_type t join bootorder.owner o on o.role = t.typowner where t.oid = made.id) then
                execute format('revoke usage on type %s from public', made.id::regtype);
            end if;
        elsif exists (select from bootorder.uncovered where relation = made.id) and not bootorder.is_allowed() then
            -- not what a superuser gives away: that is his, until the guard looks again
            perform bootorder.cover(c.oid) from pg_class c where c.oid = made.id and c.relowner <> all (bootorder.others());
        end if;
    end loop;
end
$$;

create event trigger bootorder_start on ddl_command_start
    when tag in ('DROP SCHEMA', 'ALTER SCHEMA', 'DROP INDEX', 'ALTER TABLE') execute function bootorder.refuse_start();
alter event trigger bootorder_start enable always;

create event trigger bootorder_drop on sql_drop execute function bootorder.refuse_drop();
alter event trigger bootorder_drop enable always;

create event trigger bootorder_change on ddl_command_end execute function bootorder.refuse_change();
alter event trigger bootorder_change enable always;

create event trigger bootorder_cover on ddl_command_end
    when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA', 'CREATE FOREIGN TABLE', 'CREATE VIEW',
                 'CREATE MATERIALIZED VIEW', 'CREATE TYPE', 'CREATE DOMAIN', 'CREATE TRIGGER', 'ALTER TRIGGER', 'ALTER TABLE')
    execute function bootorder.cover_new();
alter event trigger bootorder_cover enable always;
