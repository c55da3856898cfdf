// A dashboard as its JSON has to be, by Grafana's own types. They leave open what a panel's options are: here its type decides.
import type { Dashboard, FieldConfig, Panel, RowPanel } from '@grafana/schema';
import type * as BarGauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** JSON has the values of enums, not their names. */
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** The variable that every panel and query takes its data source from. */
type Source = { type: 'prometheus'; uid: '${datasource}' };

/** What the Prometheus data source of Grafana reads of a query; its types are not published. */
type Target = {
  refId: string;
  datasource: Source;
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
  format: 'time_series' | 'table';
  editorMode: 'code';
};

type Of<Type extends string, Options, Custom> = Omit<
  Json<Panel>,
  'type' | 'title' | 'description' | 'datasource' | 'gridPos' | 'options' | 'fieldConfig' | 'targets'
> & {
  type: Type;
  title: string;
  description: string;
  datasource: Source;
  gridPos: { x: number; y: number; w: number; h: number };
  options: Json<Options>;
  fieldConfig: {
    defaults: Omit<Json<FieldConfig>, 'custom'> & { unit: string; custom: Partial<Json<Custom>> };
    overrides: { matcher: { id: 'byName'; options: string }; properties: { id: string; value: unknown }[] }[];
  };
  targets: Target[];
};

type AnyPanel =
  | Of<'stat', Stat.Options, Record<string, never>>
  | Of<'bargauge', BarGauge.Options, Record<string, never>>
  | Of<'table', Table.Options, Table.FieldConfig>
  | Of<'timeseries', Omit<TimeSeries.Options, 'annotations' | 'timezone'>, TimeSeries.FieldConfig>;

type Row = Omit<Json<RowPanel>, 'panels'> & { panels: [] };

/** Annotations by Prometheus have fields of their own. */
type Annotation = {
  name: string;
  enable: boolean;
  hide: boolean;
  iconColor: string;
  datasource: Source;
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  useValueForTime: boolean;
};

/** `definition` is for people, in the list of variables. */
type Variable = NonNullable<NonNullable<Json<Dashboard>['templating']>['list']>[number] & { definition?: string };

export type Board = Omit<Json<Dashboard>, 'panels' | 'annotations' | 'templating'> & {
  panels: (Row | AnyPanel)[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
