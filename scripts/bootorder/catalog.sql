-- Every object of every schema that is neither PostgreSQL's own nor ours (`bootorder`, where seeds are recorded):
-- kind, schema, relation it belongs to, name, definition.
with relation as (
    select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind, c.relpersistence
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
      -- what an extension brought is nobody's table
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
)
select 'table', schema, name, name, '' from relation where relkind in ('r', 'p', 'f')
union all
select case relkind when 'v' then 'view' else 'materialized view' end, schema, name, name, pg_get_viewdef(oid)
from relation where relkind in ('v', 'm')
union all
select 'column', r.schema, r.name, a.attname::text,
       format_type(a.atttypid, a.atttypmod)
       || case when a.attnotnull then ' not null' else '' end
       || case a.attidentity when 'a' then ' identity always' when 'd' then ' identity' else '' end
       || case a.attgenerated when '' then '' else ' generated' end
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
from relation r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
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
where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = i.indrelid)
union all
select 'trigger', r.schema, r.name, t.tgname::text, pg_get_triggerdef(t.oid)
from relation r join pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal
union all
select 'policy', r.schema, r.name, p.polname::text,
       concat_ws(' ', p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
from relation r join pg_policy p on p.polrelid = r.oid
union all
-- a serial or identity sequence belongs to its table; one that stands alone belongs to itself
select 'sequence', r.schema, coalesce(t.relname::text, r.name), r.name, format_type(s.seqtypid, null)
from relation r
join pg_sequence s on s.seqrelid = r.oid
left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = r.oid
     and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
left join pg_class t on t.oid = d.refobjid
union all
select 'enum', n.nspname::text, y.typname::text, y.typname::text,
       (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid)
from pg_type y join pg_namespace n on n.oid = y.typnamespace
where y.typtype = 'e' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
