//! Namespace 0: numbers and names of the OPC Foundation's NodeIds, version 1.05.

use super::{Builtin, Field, StructureKind, StructureType, Types};
use crate::wire::opcua::NodeKey;
use std::sync::Arc;

/// Names and ids of fields' types, an id behind a minus an array of it.
type Fields = &'static [(&'static str, i32)];

pub(super) fn types() -> Types {
    let mut types = Types::default();
    for builtin in Builtin::ALL {
        types.declare(NodeKey::core(u32::from(builtin.number())), builtin);
    }
    for (builtin, ids) in SIMPLE {
        for id in *ids {
            types.declare(NodeKey::core(*id), *builtin);
        }
    }
    for (name, data_type, encoding, fields) in STRUCTURES {
        types.insert(StructureType {
            data_type: NodeKey::core(*data_type),
            encoding: Some(NodeKey::core(*encoding)),
            name: Arc::from(*name),
            kind: StructureKind::Plain,
            fields: fields
                .iter()
                .map(|(name, id)| Field {
                    name: Arc::from(*name),
                    data_type: NodeKey::core(id.unsigned_abs()),
                    value_rank: if *id < 0 { 1 } else { -1 },
                    flag: false,
                })
                .collect(),
        });
    }
    types
}

/// Data types that are built-in ones by another name.
const SIMPLE: &[(Builtin, &[u32])] = &[
    // BaseDataType has the number of Variant, Structure that of ExtensionObject. Number, Integer, UInteger.
    (Builtin::Variant, &[26, 27, 28]),
    // Decimal, DataTypeDefinition, UserIdentityToken, FilterOperand, MonitoringFilter, Union.
    (Builtin::ExtensionObject, &[50, 97, 316, 589, 719, 12756]),
    // BitFieldMaskDataType.
    (Builtin::UInt64, &[11737]),
    // PermissionType, IntegerId, Counter, AttributeWriteMask, AccessLevelExType, VersionTime, Index, TrustListValidationOptions,
    // PasswordOptionsMask, UserConfigurationMask, PubSubConfigurationRefMask, Handle.
    (
        Builtin::UInt32,
        &[
            94, 288, 289, 347, 15406, 20998, 17588, 23564, 24277, 24279, 25517, 31917,
        ],
    ),
    // AccessRestrictionType, AlarmMask, DataSetFieldFlags.
    (Builtin::UInt16, &[95, 32251, 15904]),
    // AccessLevelType, EventNotifierType.
    (Builtin::Byte, &[15031, 15033]),
    // Duration.
    (Builtin::Double, &[290]),
    // UtcTime.
    (Builtin::DateTime, &[294]),
    // SessionAuthenticationToken.
    (Builtin::NodeId, &[388]),
    // NumericRange, LocaleId, NormalizedString, DecimalString, DurationString, TimeString, DateString, UriString,
    // SemanticVersionString, EncodedTicket, TrimmedString.
    (
        Builtin::String,
        &[291, 295, 12877, 12878, 12879, 12880, 12881, 23751, 24263, 25726, 31918],
    ),
    // Image and its formats, ApplicationInstanceCertificate, ContinuationPoint, AudioDataType.
    (Builtin::ByteString, &[30, 2000, 2001, 2002, 2003, 311, 521, 16307]),
    // Enumeration and all enumerations.
    (
        Builtin::Int32,
        &[
            29, 98, 120, 256, 257, 302, 303, 307, 315, 348, 510, 517, 576, 625, 716, 717, 718, 851, 852, 890, 11234,
            11293, 11939, 11941, 12077, 12552, 14647, 15008, 15632, 15874, 18595, 18646, 18947, 18949, 18951, 19723,
            19730, 20408, 24210, 24212, 24214, 24216, 24218, 24220, 24222, 24224, 32417, 32436,
        ],
    ),
];

const BOOLEAN: i32 = 1;
const SBYTE: i32 = 2;
const BYTE: i32 = 3;
const INT16: i32 = 4;
const INT32: i32 = 6;
const UINT32: i32 = 7;
const INT64: i32 = 8;
const FLOAT: i32 = 10;
const DOUBLE: i32 = 11;
const STRING: i32 = 12;
const BYTE_STRING: i32 = 15;
const NODE_ID: i32 = 17;
const STATUS_CODE: i32 = 19;
const QUALIFIED_NAME: i32 = 20;
const LOCALIZED_TEXT: i32 = 21;
const VARIANT: i32 = 24;
const DIAGNOSTIC_INFO: i32 = 25;
const DURATION: i32 = 290;
const UTC_TIME: i32 = 294;

/// Name, data type, `Default Binary`, fields.
const STRUCTURES: &[(&str, u32, u32, Fields)] = &[
    ("Range", 884, 886, &[("Low", DOUBLE), ("High", DOUBLE)]),
    (
        "EUInformation",
        887,
        889,
        &[
            ("NamespaceUri", STRING),
            ("UnitId", INT32),
            ("DisplayName", LOCALIZED_TEXT),
            ("Description", LOCALIZED_TEXT),
        ],
    ),
    (
        "AxisInformation",
        12079,
        12089,
        &[
            ("EngineeringUnits", 887),
            ("EURange", 884),
            ("Title", LOCALIZED_TEXT),
            ("AxisScaleType", 12077),
            ("AxisSteps", -DOUBLE),
        ],
    ),
    ("XVType", 12080, 12090, &[("X", DOUBLE), ("Value", FLOAT)]),
    (
        "ComplexNumberType",
        12171,
        12181,
        &[("Real", FLOAT), ("Imaginary", FLOAT)],
    ),
    (
        "DoubleComplexNumberType",
        12172,
        12182,
        &[("Real", DOUBLE), ("Imaginary", DOUBLE)],
    ),
    (
        "RationalNumber",
        18806,
        18815,
        &[("Numerator", INT32), ("Denominator", UINT32)],
    ),
    ("3DVector", 18808, 18817, &[("X", DOUBLE), ("Y", DOUBLE), ("Z", DOUBLE)]),
    (
        "3DCartesianCoordinates",
        18810,
        18819,
        &[("X", DOUBLE), ("Y", DOUBLE), ("Z", DOUBLE)],
    ),
    (
        "3DOrientation",
        18812,
        18821,
        &[("A", DOUBLE), ("B", DOUBLE), ("C", DOUBLE)],
    ),
    (
        "3DFrame",
        18814,
        18823,
        &[("CartesianCoordinates", 18810), ("Orientation", 18812)],
    ),
    (
        "Argument",
        296,
        298,
        &[
            ("Name", STRING),
            ("DataType", NODE_ID),
            ("ValueRank", INT32),
            ("ArrayDimensions", -UINT32),
            ("Description", LOCALIZED_TEXT),
        ],
    ),
    (
        "EnumValueType",
        7594,
        8251,
        &[
            ("Value", INT64),
            ("DisplayName", LOCALIZED_TEXT),
            ("Description", LOCALIZED_TEXT),
        ],
    ),
    (
        "EnumField",
        102,
        14845,
        &[
            ("Value", INT64),
            ("DisplayName", LOCALIZED_TEXT),
            ("Description", LOCALIZED_TEXT),
            ("Name", STRING),
        ],
    ),
    ("EnumDefinition", 100, 123, &[("Fields", -102)]),
    (
        "StructureField",
        101,
        14844,
        &[
            ("Name", STRING),
            ("Description", LOCALIZED_TEXT),
            ("DataType", NODE_ID),
            ("ValueRank", INT32),
            ("ArrayDimensions", -UINT32),
            ("MaxStringLength", UINT32),
            ("IsOptional", BOOLEAN),
        ],
    ),
    (
        "StructureDefinition",
        99,
        122,
        &[
            ("DefaultEncodingId", NODE_ID),
            ("BaseDataType", NODE_ID),
            ("StructureType", 98),
            ("Fields", -101),
        ],
    ),
    (
        "OptionSet",
        12755,
        12765,
        &[("Value", BYTE_STRING), ("ValidBits", BYTE_STRING)],
    ),
    (
        "TimeZoneDataType",
        8912,
        8917,
        &[("Offset", INT16), ("DaylightSavingInOffset", BOOLEAN)],
    ),
    (
        "KeyValuePair",
        14533,
        14846,
        &[("Key", QUALIFIED_NAME), ("Value", VARIANT)],
    ),
    (
        "CurrencyUnitType",
        23498,
        23507,
        &[
            ("NumericCode", INT16),
            ("Exponent", SBYTE),
            ("AlphabeticCode", STRING),
            ("Currency", LOCALIZED_TEXT),
        ],
    ),
    (
        "Annotation",
        891,
        893,
        &[("Message", STRING), ("UserName", STRING), ("AnnotationTime", UTC_TIME)],
    ),
    (
        "StatusResult",
        299,
        301,
        &[("StatusCode", STATUS_CODE), ("DiagnosticInfo", DIAGNOSTIC_INFO)],
    ),
    (
        "BuildInfo",
        338,
        340,
        &[
            ("ProductUri", STRING),
            ("ManufacturerName", STRING),
            ("ProductName", STRING),
            ("SoftwareVersion", STRING),
            ("BuildNumber", STRING),
            ("BuildDate", UTC_TIME),
        ],
    ),
    (
        "ServerStatusDataType",
        862,
        864,
        &[
            ("StartTime", UTC_TIME),
            ("CurrentTime", UTC_TIME),
            ("State", 852),
            ("BuildInfo", 338),
            ("SecondsTillShutdown", UINT32),
            ("ShutdownReason", LOCALIZED_TEXT),
        ],
    ),
    (
        "RedundantServerDataType",
        853,
        855,
        &[("ServerId", STRING), ("ServiceLevel", BYTE), ("ServerState", 852)],
    ),
    (
        "SamplingIntervalDiagnosticsDataType",
        856,
        858,
        &[
            ("SamplingInterval", DURATION),
            ("MonitoredItemCount", UINT32),
            ("MaxMonitoredItemCount", UINT32),
            ("DisabledMonitoredItemCount", UINT32),
        ],
    ),
    (
        "ServiceCounterDataType",
        871,
        873,
        &[("TotalCount", UINT32), ("ErrorCount", UINT32)],
    ),
    (
        "ModelChangeStructureDataType",
        877,
        879,
        &[("Affected", NODE_ID), ("AffectedType", NODE_ID), ("Verb", BYTE)],
    ),
    (
        "SemanticChangeStructureDataType",
        897,
        899,
        &[("Affected", NODE_ID), ("AffectedType", NODE_ID)],
    ),
];
