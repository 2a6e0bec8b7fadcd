-- What of the whole server is not as it should be, as drift.sql has it for one database.
--
-- %(owners)s: the roles of all owners; %(databases)s: where they live.
with owner as materialized (select r.oid, r.rolname::text as role from pg_roles r where r.rolname = any (%(owners)s))
-- with it, an owner could switch the guard's triggers off
select distinct format('%%s may not set the parameter %%s', coalesce(o.role, 'PUBLIC'), p.parname),
       format('revoke all on parameter %%s from %%s', p.parname, coalesce(quote_ident(o.role), 'public'))
from pg_parameter_acl p
cross join lateral aclexplode(p.paracl) a
left join owner o on o.oid = a.grantee
where a.grantee = 0 or o.oid is not null
union all
select format('%%s does not begin with another %%s', coalesce(o.role, d.datname, 'nobody'), setting.name),
       format('alter role %%s%%s reset %%I', coalesce(quote_ident(o.role), 'all'),
              ' in database ' || quote_ident(d.datname), setting.name)
from pg_db_role_setting s
cross join lateral (select split_part(c, '=', 1) from unnest(s.setconfig) c) setting (name)
left join pg_database d on d.oid = s.setdatabase
left join owner o on o.oid = s.setrole
where setting.name in ('event_triggers', 'session_replication_role', 'role')
  and (o.oid is not null or s.setrole = 0 and (d.oid is null or d.datname = any (%(databases)s)))
