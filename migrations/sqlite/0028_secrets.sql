-- Secrets: fields of inputs that are sealed before they are stored.
--
-- The database's own key seals where the user has given none: so nobody sees a secret who looks at rows, views, pages and
-- answers. Whoever reads this table can open them.
create table intendant_secret_key (
  id text primary key check (id = 'database'),
  key blob not null check (length(key) = 32),
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ'))
) strict, without rowid;
-- SQLite's generator is ChaCha20, with a seed of the operating system's.
insert into intendant_secret_key (id, key) values ('database', randomblob(32));

-- Plain SQL cannot seal: a kind whose schema calls a field secret is asked for in another way. A trigger is a text (0007).
pragma writable_schema = on;
update sqlite_schema
   set sql = replace(sql, 'select raise(abort, ''IN400: the priority is outside',
                     'select raise(abort, ''IN400: the input of this kind has secret fields, which plain SQL cannot seal; ask for it by the library, HTTP or the command line'')
   where exists (select 1 from intendant_kind k where k.kind = new.kind and k.input_schema like ''%"writeOnly":true%'');
  select raise(abort, ''IN400: the priority is outside')
 where type = 'trigger' and name = 'intendant_request_check';
pragma writable_schema = reset;
