-- Conflict rules: what intents do about others on the same resource, and which of them have had to do with each other.

-- Held side by side with others that would exclude it, by a rule of its kind.
alter table intendant.holder add column beside boolean not null default false;
drop index intendant.holder_exclusive;
create unique index holder_exclusive on intendant.holder (resource) where mode = 'exclusive' and not beside;

-- Its kind goes side by side with some others: it tries again whenever the line moves.
alter table intendant.line add column sharing boolean not null default false;

-- The rules of a kind, for people and for other programs.
alter table intendant.kind add column conflicts json;

-- What a rule has made of an intent on account of another one. A row of `superseded by` is also the order to stop it, until
-- that is given (`asked_at`).
create table intendant.link (
  intent_id uuid not null,
  relation text not null check (relation in ('superseded by', 'joined', 'rejected by')),
  other_id uuid not null,
  resource text not null,
  at timestamptz not null,
  -- Of `superseded by`: the other one goes even if this one's undo fails.
  anyway boolean not null default false,
  asked_at timestamptz,
  primary key (intent_id, relation, other_id)
);
create index link_by_other on intendant.link (other_id);
create index link_unasked on intendant.link (at, intent_id) where relation = 'superseded by' and asked_at is null;

create view intendant.links as
  select intent_id, relation, other_id, resource, at from intendant.link
  union all
  select l.intent_id, 'blocked by', h.intent_id, l.resource, null
    from intendant.line l
    join intendant.blocked b on b.intent_id = l.intent_id
    join intendant.holder h on h.resource = l.resource and h.intent_id <> l.intent_id
   where l.mode = 'exclusive' or h.mode = 'exclusive'
  union all
  select l.intent_id, 'blocked by', e.intent_id, l.resource, null
    from intendant.line l
    join intendant.blocked b on b.intent_id = l.intent_id
    join intendant.line e on e.resource = l.resource and (e.position, e.intent_id) < (l.position, l.intent_id)
   where l.mode = 'exclusive' or e.mode = 'exclusive';

create view intendant.kinds as
  select kind, queue, release_on_failure, conflicts from intendant.kind;
