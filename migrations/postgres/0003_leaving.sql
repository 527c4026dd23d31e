-- A session that stops but leaves steps behind that cannot be stopped (blocking code) says so: when it is reaped, that is
-- no crash (PROTOCOL P2).
alter table intendant.session add column leaving boolean not null default false;
