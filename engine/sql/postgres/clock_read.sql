-- Request: the database's time, in microseconds: where an intent would stand in line that is asked for now.
select (extract(epoch from clock_timestamp()) * 1000000)::bigint
