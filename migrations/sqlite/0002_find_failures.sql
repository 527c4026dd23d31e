-- What failed or was cancelled is few among many, and is what people look for: newest first, without a walk through all
-- that succeeded. Partial, so that success pays nothing for it.
create index intendant_outcome_unsuccessful on intendant_outcome (state, intent_id) where state <> 'succeeded';
