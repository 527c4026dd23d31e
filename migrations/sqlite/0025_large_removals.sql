-- Large removals: trees that do not fit in one transaction of retention. The comments of the other dialect hold here too.
create table intendant_retention_large (
  intent_id text not null,
  what text not null check (what in ('rows', 'payloads')),
  kind text not null,
  state text not null,
  look text,
  goes integer not null default 0 check (goes in (0, 1)),
  primary key (intent_id, what)
) strict, without rowid;
