-- Checkup: settings and figures by their names. Other transactions are those in this database; what belongs to users that this one
-- may not see has no time, and is left out. Dead rows are as autovacuum's statistics have them.
select 'now_us', (extract(epoch from clock_timestamp()) * 1000000)::bigint::text
union all select 'version', current_setting('server_version')
union all select 'bytes', pg_database_size(current_database())::text
union all select 'fsync', current_setting('fsync')
union all select 'full_page_writes', current_setting('full_page_writes')
union all select 'synchronous_commit', current_setting('synchronous_commit')
union all select 'autovacuum', current_setting('autovacuum')
union all select 'max_connections', current_setting('max_connections')
union all select 'standby', case when pg_is_in_recovery() then 'yes' else 'no' end
union all select 'superuser_reserved_connections', current_setting('superuser_reserved_connections')
union all select 'connections', sum(numbackends)::text from pg_stat_database
union all select 'oldest_transaction_s', coalesce(extract(epoch from max(clock_timestamp() - xact_start)), 0)::bigint::text
            from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
union all select 'prepared_transactions', count(*)::text from pg_prepared_xacts where database = current_database()
union all select v.name, v.value
            from (
              select relname::text, n_live_tup, n_dead_tup from pg_stat_user_tables
               where schemaname = 'intendant' order by n_dead_tup - n_live_tup desc limit 1
            ) t cross join lateral (
              values ('dead_rows_of', t.relname), ('dead_rows', t.n_dead_tup::text), ('live_rows', t.n_live_tup::text)
            ) v (name, value)
