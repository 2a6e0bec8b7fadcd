-- Every object of every schema that is neither PostgreSQL's own nor ours (`bootorder`, where seeds are recorded):
-- kind, schema, relation it belongs to, name, definition.
with relation as (
    select c.*, n.nspname::text as schema, c.relname::text as name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
      -- what an extension brought is nobody's table
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
type as (
    select y.*, n.nspname::text as schema, y.typname::text as name
    from pg_type y
    join pg_namespace n on n.oid = y.typnamespace
    left join pg_class c on c.oid = y.typrelid
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
      -- not the row type of a table
      and coalesce(c.relkind, 'c') = 'c'
      and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = y.oid and d.deptype = 'e')
),
function as (
    select p.*, n.nspname::text as schema,
           format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) as name
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
)
select 'owner', schema, name, name, pg_get_userbyid(relowner)::text from relation r
where relkind in ('r', 'p', 'f', 'v', 'm')
   or relkind = 'S' and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = r.oid
                                    and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i'))
union all
select 'owner', schema, name, name, pg_get_userbyid(typowner)::text from type where typtype in ('e', 'd', 'c', 'r')
union all
select 'owner', schema, name, name, pg_get_userbyid(proowner)::text from function
union all
select 'table', schema, name, name, '' from relation where relkind in ('r', 'p', 'f')
union all
select 'unlogged table', schema, name, name, '' from relation where relkind = 'r' and relpersistence = 'u'
union all
select 'partitioned table', schema, name, name, 'by ' || pg_get_partkeydef(oid) from relation where relkind = 'p'
union all
select 'partition', schema, name, name, 'of its table ' || pg_get_expr(relpartbound, oid) from relation where relispartition
union all
select 'row security', schema, name, name, case when relforcerowsecurity then 'forced' else '' end
from relation where relrowsecurity
union all
select case relkind when 'v' then 'view' else 'materialized view' end, schema, name, name,
       concat_ws(' ', reloptions::text, pg_get_viewdef(oid))
from relation where relkind in ('v', 'm')
union all
select 'column', r.schema, r.name, a.attname::text,
       format_type(a.atttypid, a.atttypmod)
       || coalesce(' collate ' || quote_ident(l.collname), '')
       || case when a.attnotnull then ' not null' else '' end
       || case a.attidentity when 'a' then ' identity always' when 'd' then ' identity' else '' end
       || case a.attgenerated when '' then '' else ' generated' end
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
from relation r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
join pg_type y on y.oid = a.atttypid
left join pg_collation l on l.oid = a.attcollation and a.attcollation <> y.typcollation
left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
where r.relkind in ('r', 'p', 'f')
union all
-- not-null constraints are part of their column's definition (since PostgreSQL 18 they are rows here too)
select 'constraint', r.schema, r.name, k.conname::text, pg_get_constraintdef(k.oid)
from relation r join pg_constraint k on k.conrelid = r.oid where k.contype <> 'n'
union all
select 'index', r.schema, r.name, x.relname::text, pg_get_indexdef(i.indexrelid)
from relation r
join pg_index i on i.indrelid = r.oid
join pg_class x on x.oid = i.indexrelid
where not exists (
    -- a key's own index is told as its constraint; a foreign key names the index it leans on, and is not that
    select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
union all
select 'trigger', r.schema, r.name, t.tgname::text,
       pg_get_triggerdef(t.oid)
       || case t.tgenabled when 'D' then ' disabled' when 'R' then ' on replicas' when 'A' then ' always' else '' end
from relation r join pg_trigger t on t.tgrelid = r.oid
where not t.tgisinternal and t.tgfoid not in (select oid from pg_proc where pronamespace = to_regnamespace('bootorder'))
union all
select 'policy', r.schema, r.name, p.polname::text,
       concat_ws(' ',
           case when p.polpermissive then 'permissive' else 'restrictive' end,
           case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
           'to ' || (select string_agg(coalesce(o.rolname::text, 'public'), ', ' order by o.rolname)
                     from unnest(p.polroles) as role(oid) left join pg_roles o on o.oid = role.oid),
           'using ' || pg_get_expr(p.polqual, p.polrelid),
           'with check ' || pg_get_expr(p.polwithcheck, p.polrelid))
from relation r join pg_policy p on p.polrelid = r.oid
union all
-- a serial or identity sequence belongs to its table; one that stands alone belongs to itself
select 'sequence', r.schema, coalesce(t.relname::text, r.name), r.name,
       concat_ws(' ', format_type(s.seqtypid, null), 'increment ' || nullif(s.seqincrement, 1),
           'start ' || nullif(s.seqstart, 1), 'from ' || nullif(s.seqmin, 1),
           'to ' || nullif(s.seqmax, case s.seqtypid when 'int8'::regtype then 9223372036854775807 when 'int4'::regtype then 2147483647 else 32767 end), 'cache ' || nullif(s.seqcache, 1), case when s.seqcycle then 'cycle' end)
from relation r
join pg_sequence s on s.seqrelid = r.oid
left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = r.oid
     and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
left join pg_class t on t.oid = d.refobjid
union all
select 'enum', schema, name, name,
       coalesce((select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                 from pg_enum e where e.enumtypid = y.oid), '')
from type y where typtype = 'e'
union all
select 'domain', schema, name, name,
       concat_ws(' ', format_type(y.typbasetype, y.typtypmod), case when y.typnotnull then 'not null' end,
           'default ' || y.typdefault,
           (select string_agg(pg_get_constraintdef(k.oid), ' ' order by k.conname)
            from pg_constraint k where k.contypid = y.oid and k.contype = 'c'))
from type y where typtype = 'd'
union all
select 'type', schema, name, name,
       coalesce((select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
                 from pg_attribute a where a.attrelid = y.typrelid and a.attnum > 0 and not a.attisdropped), '')
from type y where typtype = 'c'
union all
select 'range', schema, name, name, (select format_type(r.rngsubtype, null) from pg_range r where r.rngtypid = y.oid)
from type y where typtype = 'r'
union all
select 'function', schema, name, name, md5(concat(prosrc, pg_get_function_result(oid), prolang, provolatile, prosecdef, proconfig))
from function
