-- Long work: how far a step got that has not ended yet, what it measured, what it logged. Written by those steps only that
-- have something to say.

-- The last safe point of a step without a result; its next attempt goes on from there. Goes with the result.
create table intendant.checkpoint (
  intent_id uuid not null,
  step text not null,
  generation integer not null,
  attempt integer not null,
  value json not null,
  at timestamptz not null,
  worker text not null,
  primary key (intent_id, step, generation)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What an attempt measured, beside its duration.
create table intendant.measure (
  intent_id uuid not null,
  step text not null,
  generation integer not null,
  attempt integer not null,
  name text not null,
  value double precision not null,
  at timestamptz not null,
  primary key (intent_id, step, generation, attempt, name)
);

-- What an attempt logged, the last lines of it, and how much was cut before them.
create table intendant.log (
  intent_id uuid not null,
  step text not null,
  generation integer not null,
  attempt integer not null,
  -- An array of objects: us (since the attempt began), level, target, text.
  lines json not null,
  cut_lines bigint not null,
  cut_bytes bigint not null,
  at timestamptz not null,
  worker text not null,
  primary key (intent_id, step, generation, attempt)
);

create view intendant.checkpoints as
  select intent_id, step, generation, attempt, value, at, worker from intendant.checkpoint;

-- Each with how long its attempt took, and how it failed, if it did.
create view intendant.measurements as
  select m.intent_id, i.kind, i.account, m.step, m.generation, m.attempt, m.name, m.value, m.at,
         extract(epoch from coalesce(a.finished_at - a.started_at, s.finished_at - s.started_at))::double precision as seconds,
         a.failure
    from intendant.measure m
    join intendant.intent i on i.id = m.intent_id
    left join intendant.attempt a on a.intent_id = m.intent_id and a.step = m.step and a.generation = m.generation
                                 and a.attempt = m.attempt
    left join intendant.step s on s.intent_id = m.intent_id and s.name = m.step and s.generation = m.generation
                              and s.attempt = m.attempt;

create view intendant.logs as
  select l.intent_id, l.step, l.generation, l.attempt, n.line::integer as line,
         (n.entry ->> 'us')::double precision / 1000000 as seconds, n.entry ->> 'level' as level,
         n.entry ->> 'target' as target, n.entry ->> 'text' as text, l.cut_lines, l.cut_bytes, l.at, l.worker
    from intendant.log l
    cross join lateral json_array_elements(l.lines) with ordinality as n (entry, line);
