-- Traces: where in which trace an intent was asked for, as the header `traceparent` of W3C Trace Context has it. Children
-- have that of their parents.
alter table intendant.intent add column traceparent text;
