-- Secrets: the key that the database has itself. Read once by each process; by primary key.
select key from intendant.secret_key where id = 'database'
