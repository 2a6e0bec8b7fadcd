-- The statements that make what the connected role owns in this database, for a session that is that role in another one.
-- Read over `pg_catalog` alone, with `search_path = pg_catalog, pg_temp`: names are written with their schema.
--
-- A row: class and id of a thing, the phase in which it is made (see schema_copy.py), what it is, and the statement. What
-- cannot be made is a row without a statement. Rights are not copied: the guard gives them.
with mine as materialized (
    select s.classid, s.objid
    from pg_shdepend s
    where (s.refclassid, s.refobjid, s.deptype) = ('pg_authid'::regclass, quote_ident(current_user)::regrole, 'o')
      and s.dbid = (select oid from pg_database where datname = current_database())
      -- an extension brings it, or a range type
      and not exists (select from pg_depend d
                      where (d.classid, d.objid) = (s.classid, s.objid)
                        and (d.deptype = 'e' or d.deptype = 'i' and d.classid <> 'pg_class'::regclass))
),
relation as materialized (
    select c.*, c.oid::regclass::text as name
    from mine m join pg_class c on m.classid = 'pg_class'::regclass and c.oid = m.objid
    where c.relpersistence <> 't'
),
type as materialized (
    select y.*, y.oid::regtype::text as name
    from mine m join pg_type y on m.classid = 'pg_type'::regclass and y.oid = m.objid
    where y.typtype in ('e', 'd', 'c', 'r')
),
sequence as materialized (
    select s.seqrelid, r.name, r.relpersistence, d.deptype, d.refobjid as of_table, d.refobjsubid as of_column,
           format('increment by %s minvalue %s maxvalue %s start with %s cache %s%s', s.seqincrement, s.seqmin,
                  s.seqmax, s.seqstart, s.seqcache, case when s.seqcycle then ' cycle' else '' end) as options,
           format_type(s.seqtypid, null) as type
    from relation r
    join pg_sequence s on s.seqrelid = r.oid
    left join pg_depend d on (d.classid, d.objid, d.refclassid) = ('pg_class'::regclass, r.oid, 'pg_class'::regclass)
                         and d.deptype in ('a', 'i')
),
-- columns as they are made with their table; the others come from the tables that it inherits from
columns as materialized (
    select a.attrelid, string_agg(concat_ws(' ',
               quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
               case when a.attcollation <> y.typcollation then 'collate ' || a.attcollation::regcollation end,
               case when a.attgenerated <> '' then
                   format('generated always as (%s) %s', pg_get_expr(d.adbin, d.adrelid),
                          case a.attgenerated when 'v' then 'virtual' else 'stored' end) end,
               -- a partition has the identity of its table
               case when s.seqrelid is not null then
                   format('generated %s as identity (sequence name %s %s)',
                          case a.attidentity when 'a' then 'always' else 'by default' end, s.name, s.options) end,
               -- since PostgreSQL 18 it has a name
               case when a.attnotnull then coalesce(
                   (select format('constraint %I not null%s', k.conname,
                                  case when k.connoinherit then ' no inherit' else '' end) from pg_constraint k
                    where (k.conrelid, k.contype, k.conkey) = (a.attrelid, 'n', array[a.attnum])), 'not null') end),
               ', ' order by a.attnum) as definitions
    from relation r
    join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    join pg_type y on y.oid = a.atttypid
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    left join sequence s on (s.of_table, s.of_column, s.deptype) = (a.attrelid, a.attnum, 'i')
    where r.relkind in ('r', 'p') and (a.attislocal or r.relispartition)
    group by a.attrelid
),
made (class, id, phase, what, statement) as (
    select 'pg_namespace'::regclass, n.oid, 0, 'schema ' || quote_ident(n.nspname),
           format('create schema if not exists %I', n.nspname)
    from mine m join pg_namespace n on m.classid = 'pg_namespace'::regclass and n.oid = m.objid
    union all
    select 'pg_type'::regclass, y.oid, 0, 'enum ' || y.name,
           format('create type %s as enum (%s)', y.name,
                  (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                   from pg_enum e where e.enumtypid = y.oid))
    from type y where y.typtype = 'e'
    union all
    select 'pg_type'::regclass, y.oid, 0, 'domain ' || y.name,
           concat_ws(' ', 'create domain', y.name, 'as', format_type(y.typbasetype, y.typtypmod),
                     case when y.typcollation <> b.typcollation then 'collate ' || y.typcollation::regcollation end,
                     'default ' || coalesce(pg_get_expr(y.typdefaultbin, 0), quote_literal(y.typdefault)),
                     case when y.typnotnull then 'not null' end)
    from type y join pg_type b on b.oid = y.typbasetype where y.typtype = 'd'
    union all
    select 'pg_type'::regclass, y.oid, 0, 'type ' || y.name,
           format('create type %s as (%s)', y.name,
                  (select string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                                               case when a.attcollation <> t.typcollation
                                                    then 'collate ' || a.attcollation::regcollation end),
                                     ', ' order by a.attnum)
                   from pg_attribute a join pg_type t on t.oid = a.atttypid
                   where a.attrelid = y.typrelid and a.attnum > 0 and not a.attisdropped))
    from type y where y.typtype = 'c'
    union all
    select 'pg_type'::regclass, y.oid, 0, 'range ' || y.name,
           format('create type %s as range (%s)', y.name, concat_ws(', ',
                  'subtype = ' || format_type(r.rngsubtype, null),
                  format('subtype_opclass = %I.%I', n.nspname, o.opcname),
                  'collation = ' || nullif(r.rngcollation, 0)::regcollation,
                  'subtype_diff = ' || nullif(r.rngsubdiff, 0)::regproc,
                  'multirange_type_name = ' || r.rngmultitypid::regtype))
    from type y
    join pg_range r on r.rngtypid = y.oid
    join pg_opclass o on o.oid = r.rngsubopc
    join pg_namespace n on n.oid = o.opcnamespace
    where r.rngcanonical = 0
    union all
    select 'pg_collation'::regclass, l.oid, 0, format('collation %I.%I', n.nspname, l.collname),
           format('create collation %I.%I (%s)', n.nspname, l.collname, concat_ws(', ',
                  'provider = ' || case l.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
                  'locale = ' || quote_literal(coalesce(j.has ->> 'colllocale', j.has ->> 'colliculocale')),
                  'lc_collate = ' || quote_literal(l.collcollate), 'lc_ctype = ' || quote_literal(l.collctype),
                  'rules = ' || quote_literal(j.has ->> 'collicurules'),
                  case when not l.collisdeterministic then 'deterministic = false' end))
    from mine m
    join pg_collation l on m.classid = 'pg_collation'::regclass and l.oid = m.objid
    join pg_namespace n on n.oid = l.collnamespace
    cross join lateral (select to_jsonb(l)) as j (has)  -- the names of these columns are not those of every version
    union all
    select 'pg_proc'::regclass, p.oid, 0, 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid)
    from mine m join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
    where p.prokind <> 'a'
    union all
    select 'pg_proc'::regclass, p.oid, 0, 'aggregate ' || p.oid::regprocedure,
           format('create aggregate %I.%I(%s) (%s)', n.nspname, p.proname,
                  coalesce(nullif(pg_get_function_arguments(p.oid), ''), '*'), concat_ws(', ',
                  'sfunc = ' || g.aggtransfn, 'stype = ' || format_type(g.aggtranstype, null),
                  'sspace = ' || nullif(g.aggtransspace, 0),
                  'finalfunc = ' || nullif(g.aggfinalfn, 0)::regproc, case when g.aggfinalextra then 'finalfunc_extra' end,
                  'finalfunc_modify = ' || case g.aggfinalmodify when 's' then 'shareable' when 'w' then 'read_write' end,
                  'combinefunc = ' || nullif(g.aggcombinefn, 0)::regproc,
                  'serialfunc = ' || nullif(g.aggserialfn, 0)::regproc, 'deserialfunc = ' || nullif(g.aggdeserialfn, 0)::regproc,
                  'initcond = ' || quote_literal(g.agginitval),
                  'parallel = ' || case p.proparallel when 's' then 'safe' when 'r' then 'restricted' end,
                  case when g.aggkind = 'h' then 'hypothetical' end))
    from mine m
    join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
    join pg_namespace n on n.oid = p.pronamespace
    join pg_aggregate g on g.aggfnoid = p.oid
    where g.aggmtransfn = 0 and g.aggsortop = 0
    union all
    select 'pg_cast'::regclass, k.oid, 0, pg_describe_object('pg_cast'::regclass, k.oid, 0),
           format('create cast (%s as %s) %s%s', format_type(k.castsource, null), format_type(k.casttarget, null),
                  case k.castmethod when 'f' then 'with function ' || k.castfunc::regprocedure
                                    when 'i' then 'with inout' else 'without function' end,
                  case k.castcontext when 'i' then ' as implicit' when 'a' then ' as assignment' else '' end)
    from pg_cast k
    join pg_type source on source.oid = k.castsource
    join pg_type target on target.oid = k.casttarget
    join pg_roles me on me.rolname = current_user
    where k.oid >= 16384
      and (source.typowner = me.oid or target.typowner = me.oid and source.oid < 16384)
      and not exists (select from pg_depend d
                      where (d.classid, d.objid) = ('pg_cast'::regclass, k.oid) and d.deptype in ('e', 'i'))
    union all
    select 'pg_class'::regclass, r.oid, 0, 'table ' || r.name,
           concat('create ', case when r.relpersistence = 'u' then 'unlogged ' end, 'table ', r.name,
                  ' (', concat_ws(', ', (select definitions from columns where attrelid = r.oid),
                                  (select string_agg(format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), ', ')
                                   from pg_constraint k
                                   join pg_attribute a on a.attrelid = k.conrelid and array[a.attnum] = k.conkey
                                   where k.conrelid = r.oid and k.contype = 'n' and k.conislocal
                                     and not (a.attislocal or r.relispartition))), ')',
                  (select format(' inherits (%s)', string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno))
                   from pg_inherits i where i.inhrelid = r.oid and not r.relispartition having count(*) > 0),
                  ' partition by ' || pg_get_partkeydef(r.oid),
                  (select format(' using %I', m.amname) from pg_am m where m.oid = r.relam and m.amname <> 'heap'),
                  ' with (' || array_to_string(r.reloptions, ', ') || ')')
    from relation r where r.relkind in ('r', 'p') and r.reloftype = 0
    union all
    select 'pg_class'::regclass, r.oid, 2, 'partition ' || r.name,
           format('alter table only %s attach partition %s %s', i.inhparent::regclass, r.name,
                  pg_get_expr(r.relpartbound, r.oid))
    from relation r join pg_inherits i on i.inhrelid = r.oid where r.relkind in ('r', 'p') and r.relispartition
    union all
    select 'pg_class'::regclass, s.seqrelid, 0, 'sequence ' || s.name,
           format('create %ssequence %s as %s %s', case when s.relpersistence = 'u' then 'unlogged ' end, s.name, s.type,
                  s.options)
    from sequence s where s.deptype is distinct from 'i'
    union all
    select 'pg_class'::regclass, s.seqrelid, 1, 'owner of the sequence ' || s.name,
           format('alter sequence %s owned by %s.%I', s.name, s.of_table::regclass, a.attname)
    from sequence s join pg_attribute a on (a.attrelid, a.attnum) = (s.of_table, s.of_column) where s.deptype = 'a'
    union all
    select 'pg_attrdef'::regclass, d.oid, 0, format('default of %s.%I', r.name, a.attname),
           format('alter table only %s alter column %I set default %s', r.name, a.attname, pg_get_expr(d.adbin, d.adrelid))
    from relation r
    join pg_attrdef d on d.adrelid = r.oid
    join pg_attribute a on (a.attrelid, a.attnum) = (d.adrelid, d.adnum) and a.attgenerated = ''
    union all
    select 'pg_class'::regclass, r.oid, 0, 'view ' || r.name,
           format('create view %s%s as %s', r.name, ' with (' || array_to_string(r.reloptions, ', ') || ')',
                  pg_get_viewdef(r.oid))
    from relation r where r.relkind = 'v'
    union all
    select 'pg_class'::regclass, r.oid, 0, 'materialized view ' || r.name,
           format('create materialized view %s%s as %s with no data', r.name,
                  ' with (' || array_to_string(r.reloptions, ', ') || ')', rtrim(pg_get_viewdef(r.oid), ';'))
    from relation r where r.relkind = 'm'
    union all
    select 'pg_class'::regclass, r.oid, 3, 'rows of the materialized view ' || r.name,
           format('refresh materialized view %s', r.name)
    from relation r where r.relkind = 'm' and r.relispopulated
    union all
    select 'pg_constraint'::regclass, k.oid, case when k.contypid <> 0 then 0 when k.contype = 'f' then 4 else 1 end,
           pg_describe_object('pg_constraint'::regclass, k.oid, 0),
           format('alter %s add constraint %I %s',
                  coalesce('domain ' || y.name, 'table ' || r.name),
                  k.conname, pg_get_constraintdef(k.oid))
    from pg_constraint k
    left join relation r on r.oid = k.conrelid
    left join type y on y.oid = k.contypid
    where (r.oid is not null or y.oid is not null) and k.contype in ('c', 'p', 'u', 'x', 'f')
      -- what it has from another table comes with that one
      and (k.contype = 'f' and k.conparentid = 0
           or k.contype <> 'f' and (k.conislocal or k.contypid <> 0 or r.relispartition))
    union all
    select 'pg_class'::regclass, i.indexrelid, 1, 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)
    from relation r join pg_index i on i.indrelid = r.oid
    where r.relkind in ('r', 'p', 'm')
      and not exists (select from pg_constraint k
                      where (k.conrelid, k.conindid) = (i.indrelid, i.indexrelid) and k.contype in ('p', 'u', 'x'))
    union all
    select 'pg_statistic_ext'::regclass, x.oid, 3, pg_describe_object('pg_statistic_ext'::regclass, x.oid, 0),
           pg_get_statisticsobjdef(x.oid)
    from mine m join pg_statistic_ext x on m.classid = 'pg_statistic_ext'::regclass and x.oid = m.objid
    union all
    select 'pg_trigger'::regclass, t.oid, 3, format('trigger %I on %s', t.tgname, r.name),
           concat(pg_get_triggerdef(t.oid),
                  '; alter table only ' || r.name || ' ' || state.verb || ' trigger ' || quote_ident(t.tgname))
    from relation r
    join pg_trigger t on t.tgrelid = r.oid
    left join (values ('D', 'disable'), ('R', 'enable replica'), ('A', 'enable always')) as state (code, verb)
         on state.code = t.tgenabled::text
    where not t.tgisinternal and t.tgparentid = 0
      and t.tgfoid not in (select oid from pg_proc where pronamespace = to_regnamespace('bootorder'))
    union all
    select 'pg_rewrite'::regclass, w.oid, 3, format('rule %I on %s', w.rulename, r.name),
           concat(pg_get_ruledef(w.oid), ' alter table ' || r.name || ' ' || state.verb || ' rule ' || quote_ident(w.rulename))
    from relation r
    join pg_rewrite w on w.ev_class = r.oid
    left join (values ('D', 'disable'), ('R', 'enable replica'), ('A', 'enable always')) as state (code, verb)
         on state.code = w.ev_enabled::text
    where w.rulename <> '_RETURN'
    union all
    select 'pg_policy'::regclass, p.oid, 3, format('policy %I on %s', p.polname, r.name),
           concat_ws(' ', format('create policy %I on %s as', p.polname, r.name),
                     case when p.polpermissive then 'permissive' else 'restrictive' end, 'for',
                     case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                                   when 'd' then 'delete' else 'all' end, 'to',
                     (select string_agg(case role when 0 then 'public' else role::regrole::text end, ', ')
                      from unnest(p.polroles) as role),
                     'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                     'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    from relation r join pg_policy p on p.polrelid = r.oid
    union all
    select 'pg_class'::regclass, r.oid, 3, 'row level security of ' || r.name,
           concat('alter table only ', r.name, ' enable row level security',
                  case when r.relforcerowsecurity then ', force row level security' end)
    from relation r where r.relrowsecurity
),
commented (class, id, sub, text, type, identity) as (
    select d.classoid, d.objoid, d.objsubid, d.description, i.type, i.identity
    from pg_description d
    cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
    where (d.classoid, d.objoid) in (select class, id from made)
)
select class::bigint, id::bigint, phase, what, statement from made
union all
-- those of domains' constraints are written in another way
select class::bigint, id::bigint, 5, 'comment on ' || identity,
       format('comment on %s %s is %L',
              case when sub > 0 then 'column' when type = 'table constraint' then 'constraint'
                   when type = 'statistics object' then 'statistics'
                   when type = 'composite type' then 'type' else type end, identity, text)
from commented where type <> 'domain constraint'
union all
select classid::bigint, objid::bigint, 0, pg_describe_object(classid, objid, 0), null
from mine m
where not exists (select from made where (class, id) = (m.classid, m.objid))
  -- the sequences of identity columns are made with their tables, and rights are not copied
  and not exists (select from sequence s where m.classid = 'pg_class'::regclass and s.seqrelid = m.objid)
  and m.classid not in ('pg_extension'::regclass, 'pg_default_acl'::regclass)
  and not (m.classid = 'pg_class'::regclass
           and exists (select from pg_class c where c.oid = m.objid and (c.relpersistence = 't' or c.relkind = 'c')))
