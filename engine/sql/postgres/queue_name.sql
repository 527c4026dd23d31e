-- Queue: something is said of it, which is in another table. Primary key. 1 name.
insert into intendant.queue (name) values ($1::text) on conflict (name) do nothing
