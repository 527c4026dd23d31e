-- Queue: something is said of it, which is in another table. Primary key. 1 name.
insert into intendant_queue (name) values (?1) on conflict (name) do nothing
