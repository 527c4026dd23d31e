-- Conflict rules: what intents do about others on the same resource, and which of them have had to do with each other.

-- Held side by side with others that would exclude it, by a rule of its kind.
alter table intendant_holder add column beside integer not null default 0;
drop index intendant_holder_exclusive;
create unique index intendant_holder_exclusive on intendant_holder (resource) where mode = 'exclusive' and not beside;

-- Its kind goes side by side with some others: it tries again whenever the line moves.
alter table intendant_line add column sharing integer not null default 0;

-- The rules of a kind, for people and for other programs.
alter table intendant_kind add column conflicts text;

-- What a rule has made of an intent on account of another one. A row of `superseded by` is also the order to stop it, until
-- that is given (`asked_at`).
create table intendant_link (
  intent_id text not null,
  relation text not null check (relation in ('superseded by', 'joined', 'rejected by')),
  other_id text not null,
  resource text not null,
  at integer not null,
  -- Of `superseded by`: the other one goes even if this one's undo fails.
  anyway integer not null default 0,
  asked_at integer,
  primary key (intent_id, relation, other_id)
) strict, without rowid;
create index intendant_link_by_other on intendant_link (other_id);
create index intendant_link_unasked on intendant_link (at, intent_id) where relation = 'superseded by' and asked_at is null;

create view intendant_links as
  select intent_id, relation, other_id, resource, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at
    from intendant_link
  union all
  select l.intent_id, 'blocked by', h.intent_id, l.resource, null
    from intendant_line l
    join intendant_blocked b on b.intent_id = l.intent_id
    join intendant_holder h on h.resource = l.resource and h.intent_id <> l.intent_id
   where l.mode = 'exclusive' or h.mode = 'exclusive'
  union all
  select l.intent_id, 'blocked by', e.intent_id, l.resource, null
    from intendant_line l
    join intendant_blocked b on b.intent_id = l.intent_id
    join intendant_line e on e.resource = l.resource and (e.position, e.intent_id) < (l.position, l.intent_id)
   where l.mode = 'exclusive' or e.mode = 'exclusive';

create view intendant_kinds as
  select kind, queue, release_on_failure, conflicts from intendant_kind;
